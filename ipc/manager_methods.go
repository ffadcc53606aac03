package ipc

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/seed-185a7250/multiproc/proto"
)

// A method answers one request; the params are of this length, the last of them options.
type method struct {
	params int
	do     func(c *call, params []proto.Raw) error
}

var methods = map[string]method{
	proto.MethodCreate:   {3, (*call).create},
	proto.MethodAttach:   {2, (*call).attach},
	proto.MethodIncref:   {3, (*call).incref},
	proto.MethodDecref:   {3, (*call).decref},
	proto.MethodKeep:     {3, (*call).keepObject},
	proto.MethodList:     {1, (*call).list},
	proto.MethodDescribe: {2, (*call).describe},
	proto.MethodBatch:    {2, (*call).doBatch},
	proto.MethodStats:    {1, (*call).tellStats},
	proto.MethodPing:     {1, func(c *call, _ []proto.Raw) error { c.replyNil(); return nil }},
	proto.MethodShutdown: {1, (*call).shutDown},
	proto.MethodCancel:   {2, (*call).cancel},
	proto.MethodDeposit:  {2, (*call).depositNothing},
}

// quiet are the methods that may be notifications.
var quiet = []string{proto.MethodIncref, proto.MethodDecref, proto.MethodCancel}

// handle executes one message.
func (s *session) handle(msg *proto.Message) {
	if s.ended {
		return
	}
	c := &s.scrap
	*c = call{m: s.m, s: s, id: msg.ID, lent: c.lent[:0], wait: proto.Forever}
	if msg.Kind == proto.Request && msg.Method == proto.MethodCall {
		c.perform(msg.Params)
		return
	}
	if msg.Kind == proto.Notify {
		if !slices.Contains(quiet, msg.Method) {
			return
		}
		var unread []byte // where the answer goes
		c.batch, s.batched = &unread, 0
	}
	do, ok := methods[msg.Method]
	if !ok {
		c.failf(proto.KindUnknownMethod, "a manager has no method %q", msg.Method)
		return
	}
	params, err := proto.Elements(msg.Params, c.space[:0])
	if err == nil && len(params) != do.params {
		err = faultf(proto.KindArguments, "%s takes %d params, found %d", msg.Method, do.params, len(params))
	}
	if err == nil && !proto.IsMap(params[len(params)-1]) {
		err = faultf(proto.KindArguments, "the last of the params of %s must be a map of options", msg.Method)
	}
	if err == nil {
		err = do.do(c, params)
	}
	if err != nil {
		c.fail(err)
	}
}

// perform executes a call.
func (c *call) perform(params proto.Raw) {
	v, err := proto.ParseCall(params)
	var args []proto.Raw
	if err == nil {
		args, err = proto.Elements(v.Args, c.space[:0])
	}
	if err == nil {
		if _, twice := c.s.waiting[c.id]; twice {
			err = faultf(proto.KindArguments, "request %d is under way already", c.id)
		}
	}
	if err != nil {
		c.fail(err)
		return
	}
	c.owner, c.wait = v.Owner, v.Wait
	c.run(v, args)
}

// run executes the operation v.
func (c *call) run(v proto.Call, args []proto.Raw) {
	c.m.stats.calls++
	o, err := c.m.find(v.Object)
	if err != nil {
		c.fail(err)
		return
	}
	o.touched++
	c.obj, c.args = o, args
	c.op = c.s.intern(v.Op)
	o.thing.call(c)
}

// maxBatchTime is how long the calls of a batch may keep all others waiting.
const maxBatchTime = time.Second

// doBatch executes calls one after another, with nothing between them.
func (c *call) doBatch(params []proto.Raw) error {
	calls, err := proto.ParseOperations(params[0])
	if err != nil {
		return err
	}
	var owner uint64
	err = proto.ParseOptions(params[1], func(name string, v proto.Raw) (err error) {
		if name == "owner" {
			owner, err = proto.ParseUint(v)
		}
		return err
	})
	if err != nil {
		return err
	}
	if n := calls.Len(); n >= c.m.limits.Frame/leastAnswer || n > maxBatchCalls {
		return faultf(proto.KindTooLarge, "a batch of %d calls, whose answers would not fit into one frame", n)
	}
	answers := proto.AppendArrayHeader(c.s.answers[:0], calls.Len())
	one := *c
	one.batch = &answers
	c.s.batched = 0
	begin := time.Now()
	for calls.Len() > 0 {
		one.lent, one.wait, one.owner, one.after = one.lent[:0], 0, owner, calls.Len()
		v, args, err := calls.Next(one.space[:0])
		if time.Since(begin) > maxBatchTime {
			one.failf(proto.KindTooMany, "the batch takes more than %v", maxBatchTime)
		} else if err != nil {
			one.fail(err)
		} else {
			one.run(v, args)
		}
	}
	c.replyRaw(answers)
	if cap(answers) <= maxSpare {
		c.s.answers = answers
	}
	return nil
}

// object reads the object that a method is about.
func (c *call) object(r proto.Raw) (*object, error) {
	n, err := proto.ParseObject(r)
	if err != nil {
		return nil, err
	}
	return c.m.find(n)
}

type createOptions struct {
	name           string
	keep, existing bool
}

func parseCreateOptions(r proto.Raw) (o createOptions, err error) {
	err = proto.ParseOptions(r, func(name string, v proto.Raw) (err error) {
		switch name {
		case "name":
			o.name, err = proto.ParseString(v)
			if err == nil && (o.name == "" || len(o.name) > 255) {
				err = faultf(proto.KindArguments, "a name of %d bytes, 1 to 255 are allowed", len(o.name))
			}
		case "keep":
			o.keep, err = proto.ParseBool(v)
		case "existing":
			o.existing, err = proto.ParseBool(v)
		}
		return err
	})
	return o, err
}

func (c *call) create(params []proto.Raw) error {
	kind, err := proto.ParseString(params[0])
	if err != nil {
		return err
	}
	o, err := parseCreateOptions(params[2])
	if err != nil {
		return err
	}
	if old := c.m.names[o.name]; o.name != "" && old != nil {
		if !o.existing || old.kind != kind {
			return faultf(proto.KindExists, "the name %q is that of a %s", o.name, old.kind)
		}
		return c.leased(old, false)
	}
	if c.args, err = proto.Elements(params[1], nil); err != nil {
		return err
	}
	if len(c.s.leases) >= c.m.limits.Objects {
		return c.tooManyObjects()
	}
	c.op = "create"
	made, err := c.m.create(c, kind, o.name)
	if err != nil {
		return err
	}
	c.m.keep(made, o.keep)
	return c.leased(made, true)
}

func (c *call) tooManyObjects() error {
	return faultf(proto.KindTooMany, "the connection has leases on %d objects", len(c.s.leases))
}

// leased answers with o, and a lease on it.
func (c *call) leased(o *object, created bool) error {
	if c.s.leases[o] == 0 && len(c.s.leases) >= c.m.limits.Objects {
		return c.tooManyObjects()
	}
	c.m.lease(c.s, o, 1)
	n := 2
	if o.name != "" {
		n = 3
	}
	b := proto.AppendUint(proto.AppendArrayHeader(c.result(), 2), o.id)
	b = proto.AppendMapHeader(b, n)
	b = proto.AppendString(proto.AppendString(b, "kind"), o.kind)
	if o.name != "" {
		b = proto.AppendString(proto.AppendString(b, "name"), o.name)
	}
	b = proto.AppendBool(proto.AppendString(b, "created"), created)
	c.finish(b)
	return nil
}

func (c *call) attach(params []proto.Raw) error {
	o, err := c.object(params[0])
	if err != nil {
		return err
	}
	return c.leased(o, false)
}

func (c *call) incref(params []proto.Raw) error {
	o, n, err := c.reference(params)
	if err != nil {
		return err
	}
	if c.s.leases[o] == 0 && len(c.s.leases) >= c.m.limits.Objects {
		return c.tooManyObjects()
	}
	c.m.lease(c.s, o, n)
	c.replyInt(c.s.leases[o])
	return nil
}

func (c *call) decref(params []proto.Raw) error {
	o, n, err := c.reference(params)
	if err != nil {
		return err
	}
	if have := c.s.leases[o]; n > have {
		return faultf(proto.KindValueError, "the connection has %d leases on object %d, not %d", have, o.id, n)
	}
	c.m.release(c.s, o, n)
	c.replyInt(c.s.leases[o])
	return nil
}

func (c *call) reference(params []proto.Raw) (*object, int, error) {
	n, err := proto.ParseCount(params[1])
	if err == nil && n < 1 {
		err = faultf(proto.KindValueError, "%d references", n)
	}
	if err != nil {
		return nil, 0, err
	}
	o, err := c.object(params[0])
	return o, n, err
}

func (c *call) keepObject(params []proto.Raw) error {
	on, err := proto.ParseBool(params[1])
	if err != nil {
		return err
	}
	o, err := c.object(params[0])
	if err != nil {
		return err
	}
	was := o.kept
	c.m.keep(o, on)
	c.replyBool(was)
	return nil
}

func (c *call) list(params []proto.Raw) error {
	var kind, prefix string
	err := proto.ParseOptions(params[0], func(name string, v proto.Raw) (err error) {
		switch name {
		case "kind":
			kind, err = proto.ParseString(v)
		case "prefix":
			prefix, err = proto.ParseString(v)
		}
		return err
	})
	if err != nil {
		return err
	}
	var found []*object
	for _, o := range c.m.sorted() {
		if (kind == "" || o.kind == kind) && strings.HasPrefix(o.name, prefix) {
			found = append(found, o)
		}
	}
	b := proto.AppendArrayHeader(c.result(), len(found))
	for _, o := range found {
		b = o.describe(b)
	}
	c.finish(b)
	return nil
}

func (c *call) describe(params []proto.Raw) error {
	o, err := c.object(params[0])
	if err != nil {
		return err
	}
	c.finish(o.describe(c.result()))
	return nil
}

// maxText is how much of an object is shown.
const maxText = 1024 // bytes

func (o *object) describe(b []byte) []byte {
	n := 8
	if o.name != "" {
		n++
	}
	long, ok := o.thing.(measured)
	if ok {
		n++
	}
	b = proto.AppendMapHeader(b, n)
	b = proto.AppendUint(proto.AppendString(b, "id"), o.id)
	b = proto.AppendString(proto.AppendString(b, "kind"), o.kind)
	if o.name != "" {
		b = proto.AppendString(proto.AppendString(b, "name"), o.name)
	}
	b = proto.AppendString(proto.AppendString(b, "text"), string(o.thing.text(nil, maxText)))
	if ok {
		b = proto.AppendInt(proto.AppendString(b, "length"), int64(long.length()))
	}
	b = proto.AppendInt(proto.AppendString(b, "leases"), int64(o.leases))
	b = proto.AppendInt(proto.AppendString(b, "stored"), int64(o.stored))
	b = proto.AppendBool(proto.AppendString(b, "kept"), o.kept)
	b = proto.AppendInt(proto.AppendString(b, "refs"), int64(o.refs()))
	return proto.AppendInt(proto.AppendString(b, "waiting"), int64(o.waiting))
}

func (c *call) tellStats([]proto.Raw) error {
	m := c.m
	stats := map[string]uint64{
		"connections": uint64(len(m.sessions)), "objects": uint64(len(m.objects)), "leases": uint64(m.stats.leases),
		"waiting": uint64(m.stats.waiting), "bytes": uint64(m.stats.bytes), "calls": m.stats.calls,
	}
	b := proto.AppendMapHeader(c.result(), len(stats))
	for _, name := range slices.Sorted(maps.Keys(stats)) {
		b = proto.AppendUint(proto.AppendString(b, name), stats[name])
	}
	c.finish(b)
	return nil
}

func (c *call) cancel(params []proto.Raw) error {
	id, err := proto.ParseUint(params[0])
	if err != nil {
		return err
	}
	p := c.s.waiting[id]
	if p != nil {
		p.quit(cancelled)
	}
	c.replyBool(p != nil)
	return nil
}

func (c *call) shutDown([]proto.Raw) error {
	if c.m.opts.RefuseShutdown || c.s.remote {
		return faultf(proto.KindDenied, "this manager is not shut down by such clients")
	}
	c.replyNil()
	c.s.stops = true
	return nil
}
