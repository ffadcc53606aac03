package ipc

import "github.com/seed-185a7250/multiproc/proto"

func init() { kinds["condition"] = makeCondition }

// A managedCondition is a line in front of a lock. Who waits has given the lock back with all
// its levels; when it is notified, or its time is over, or it is cancelled, it goes over to the
// line of the lock, and is answered when it has all of them again.
type managedCondition struct {
	obj     *object
	lockObj *object
	lock    *managedLock
	waiters line // for a notify; n is the levels to be taken again
}

// waited is how a wait has come to its end, before the lock is taken again.
type waited struct{ notified, cancelled bool }

func makeCondition(c *call) (thing, error) {
	handoff, err := c.handoffArgs(2)
	if err != nil {
		return nil, err
	}
	d := &managedCondition{obj: c.obj}
	if len(c.args) == 0 || proto.IsNil(c.args[0]) {
		d.own(c.m, handoff)
	} else if err := d.share(c); err != nil {
		return nil, err
	}
	d.lockObj.stored++
	return d, nil
}

// own makes a lock for the condition alone. Whoever keeps objects keeps it as one of them, and
// the condition as one to which it was given, so that it comes back with its id.
func (d *managedCondition) own(m *Manager, handoff bool) {
	d.lock = &managedLock{reentrant: !handoff, handoff: handoff}
	d.lockObj = &object{kind: "rlock", thing: d.lock, args: proto.AppendArrayHeader(nil, 0)}
	if handoff {
		options := proto.AppendMapHeader(proto.AppendArrayHeader(nil, 1), 1)
		d.lockObj.kind, d.lockObj.args = "lock", proto.AppendBool(proto.AppendString(options, "handoff"), true)
	}
	m.enter(d.lockObj)
	m.keep(d.lockObj, false)
	d.obj.args = append(proto.AppendArrayHeader(nil, 1), d.ref(m)...)
}

func (d *managedCondition) ref(m *Manager) proto.Raw {
	return proto.AppendRef(nil, proto.Ref{Instance: m.instance, ID: d.lockObj.id})
}

// share takes the lock that c names.
func (d *managedCondition) share(c *call) error {
	ref, ok := proto.ParseRef(c.args[0])
	if !ok {
		return faultf(proto.KindTypeError, "expected a reference to a lock, found %s", proto.TypeName(c.args[0]))
	}
	if ref.Instance != c.m.instance {
		return faultf(proto.KindUnknownObject, "the lock is one of another manager")
	}
	o, err := c.m.find(proto.ObjectName{ID: ref.ID})
	if err != nil {
		return err
	}
	l, ok := o.thing.(*managedLock)
	if !ok {
		return faultf(proto.KindTypeError, "expected a reference to a lock, found one to a %s", o.kind)
	}
	d.lockObj, d.lock = o, l
	return nil
}

var conditionOps = map[string]operation[*managedCondition]{
	"acquire":    {0, 0, func(d *managedCondition, c *call) { d.lock.acquire(c) }},
	"release":    {0, 0, func(d *managedCondition, c *call) { d.lock.release(c) }},
	"locked":     {0, 0, func(d *managedCondition, c *call) { d.lock.locked(c) }},
	"owned":      {0, 0, func(d *managedCondition, c *call) { d.lock.owned(c) }},
	"count":      {0, 0, func(d *managedCondition, c *call) { d.lock.count(c) }},
	"lock":       {0, 0, (*managedCondition).tellLock},
	"wait":       {0, 0, (*managedCondition).wait},
	"notify":     {0, 1, (*managedCondition).notify},
	"notify_all": {0, 0, (*managedCondition).notifyAll},
	"waiting":    {0, 0, func(d *managedCondition, c *call) { c.replyInt(d.waiters.n) }},
}

func (d *managedCondition) call(c *call) { operate(d, c, conditionOps) }

func (d *managedCondition) tellLock(c *call) {
	c.replyValue(value{raw: d.ref(c.m), refs: 1})
}

func (d *managedCondition) wait(c *call) {
	if !d.lock.heldBy(c) {
		return
	}
	levels := d.lock.level
	if c.batch != nil { // nothing happens until it has the lock again
		d.lock.vacate()
		d.lock.seize(c.caller(), levels)
		waited{}.answer(c, d.lock)
		return
	}
	poll := c.wait <= 0
	if poll { // it is no poll for the lock
		c.wait = proto.Forever
	}
	p := c.park(&d.waiters, d.quits)
	if p == nil {
		return
	}
	p.n = levels
	d.lock.giveUp()
	if poll {
		p.quit(overTime)
	}
}

// quits is called when p does not wait for a notify any more.
func (d *managedCondition) quits(p *parked, why reason) {
	switch why {
	case departed:
	case objectEnd:
		p.fail(why.fault())
	default:
		d.retake(p, waited{cancelled: why == cancelled})
	}
}

// retake puts p, which has left the line of the condition, into that of the lock.
func (d *managedCondition) retake(p *parked, w waited) {
	p.more = w
	p.again(&d.lock.waiters)
	d.lock.grant()
}

// answer answers who has waited, and has the lock again.
func (w waited) answer(c *call, l *managedLock) {
	token := proto.AppendBool(proto.AppendUint(nil, l.token), l.told)
	if w.cancelled {
		f := cancelled.fault()
		f.Value = append(proto.AppendArrayHeader(nil, 2), token...)
		c.fail(f)
		return
	}
	b := proto.AppendBool(proto.AppendArrayHeader(c.result(), 3), w.notified)
	c.finish(append(b, token...))
}

func (d *managedCondition) notify(c *call) {
	n, err := 1, error(nil)
	if len(c.args) > 0 {
		n, err = intArg(c.args[0])
	}
	if err != nil {
		c.fail(err)
		return
	}
	d.wake(c, n)
}

func (d *managedCondition) notifyAll(c *call) { d.wake(c, d.waiters.n) }

// wake sends the oldest n to the lock, which the caller holds.
func (d *managedCondition) wake(c *call, n int) {
	if !d.lock.heldBy(c) {
		return
	}
	woken := 0
	for woken < n {
		p := d.waiters.pick()
		if p == nil {
			break
		}
		p.take()
		d.retake(p, waited{notified: true})
		woken++
	}
	c.replyInt(woken)
}

// text is like <Condition(<RLock(owner=None, count=0)>, waiting=2)>.
func (d *managedCondition) text(b []byte, max int) []byte {
	b = d.lock.text(append(b, "<Condition("...), max)
	return append(d.waiters.text(b), ")>"...)
}

// drop ends all calls on the condition, also those that wait for the lock, which may live on.
func (d *managedCondition) drop(m *Manager) {
	d.waiters.each(func(p *parked) { p.quit(objectEnd) })
	d.lock.waiters.each(func(p *parked) {
		if p.obj == d.obj {
			p.quit(objectEnd)
		}
	})
	d.lockObj.stored--
	m.mayEnd(d.lockObj)
}
