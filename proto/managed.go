package proto

import (
	"math"
	"time"
)

// Methods of a manager, besides hello and cancel.
const (
	MethodAuth     = "auth"
	MethodCreate   = "create"
	MethodAttach   = "attach"
	MethodIncref   = "incref"
	MethodDecref   = "decref"
	MethodKeep     = "keep"
	MethodList     = "list"
	MethodDescribe = "describe"
	MethodCall     = "call"
	MethodBatch    = "batch"
	MethodDeposit  = "deposit"
	MethodStats    = "stats"
	MethodPing     = "ping"
	MethodShutdown = "shutdown"
)

// Kinds of faults that only a manager answers with. PROTOCOL.md says when.
const (
	KindKeyError       = "key_error"
	KindIndexError     = "index_error"
	KindAttributeError = "attribute_error"
	KindValueError     = "value_error"
	KindTypeError      = "type_error"
	KindOverflow       = "overflow"
	KindChanged        = "changed"
	KindEmpty          = "empty"
	KindFull           = "full"
	KindClosed         = "closed"
	KindNotLocked      = "not_locked"
	KindNotOwner       = "not_owner"
	KindBrokenBarrier  = "broken_barrier"
	KindGone           = "gone"
	KindUnknownObject  = "unknown_object"
	KindUnknownKind    = "unknown_kind"
	KindExists         = "exists"
	KindTooMany        = "too_many"
	KindDenied         = "denied"
	KindDied           = "died"
)

// HandleObject is the kind of the handle of an object of a manager.
const HandleObject uint8 = 13

// Forever is the Wait of a Call without a limit.
const Forever time.Duration = math.MaxInt64

// An ObjectName is what a request names an object by: its name, or if that is empty its id.
type ObjectName struct {
	ID   uint64
	Name string
}

func (n ObjectName) append(b []byte) []byte {
	if n.Name != "" {
		return AppendString(b, n.Name)
	}
	return AppendUint(b, n.ID)
}

// A Call asks a manager for one operation of one object.
type Call struct {
	Object ObjectName
	Op     []byte        // its name
	Args   Raw           // an encoded array
	Owner  uint64        // who calls, within the connection
	Wait   time.Duration // how long it may wait at most: 0 not at all, Forever without a limit
}

// AppendCallHead appends what stands before the args of a Call, and AppendCallTail what
// stands behind them.
func AppendCallHead(b []byte, object ObjectName, op string) []byte {
	return AppendString(object.append(AppendArrayHeader(b, 4)), op)
}

// AppendCallTail appends the options {owner, timeout_ms}.
func AppendCallTail(b []byte, owner uint64, wait time.Duration) []byte {
	w := beginOptions(b)
	w.uint("owner", owner)
	if wait != Forever {
		w.key("timeout_ms")
		ms := uint64(0)
		if wait > 0 {
			ms = milliseconds(wait)
		}
		w.b = AppendUint(w.b, ms)
	}
	return w.end()
}

// AppendCallParams appends the params [object, op, args, {owner, timeout_ms}]. No Args stand
// for none.
func AppendCallParams(b []byte, v Call) []byte {
	b = AppendCallHead(b, v.Object, string(v.Op))
	if len(v.Args) == 0 {
		b = AppendArrayHeader(b, 0)
	}
	return AppendCallTail(append(b, v.Args...), v.Owner, v.Wait)
}

// ParseCall reads the params of a Call. Op and Args alias p; Wait is Forever where nothing
// is said.
func ParseCall(p Raw) (v Call, err error) {
	c := cursor{b: p}
	if err = c.tuple(4, "call"); err != nil {
		return v, err
	}
	if err = c.operation(&v); err != nil {
		return v, err
	}
	v.Wait = Forever
	err = c.options("the options of call", func(key []byte) (_ bool, err error) {
		switch string(key) {
		case "owner":
			v.Owner, err = c.uint("owner")
		case "timeout_ms":
			v.Wait, err = c.ms("timeout_ms")
		default:
			return false, nil
		}
		return true, err
	})
	if err == nil {
		err = c.end("call")
	}
	return v, err
}

// operation reads the object, the op and the args, which call and batch share.
func (c *cursor) operation(v *Call) (err error) {
	if v.Object, err = c.object(); err != nil {
		return err
	}
	if v.Op, err = c.str("the operation"); err != nil {
		return err
	}
	if t, err := c.peek(); err != nil {
		return err
	} else if t.class != classArray {
		return protocolf("the arguments of %q must be an array, found %s", v.Op, t.class)
	}
	v.Args, err = c.raw("the arguments")
	return err
}

func (c *cursor) object() (ObjectName, error) {
	t, err := c.peek()
	if err != nil {
		return ObjectName{}, err
	}
	if t.class == classStr {
		s, err := c.text("the name of an object")
		if err == nil && (s == "" || len(s) > maxName) {
			err = protocolf("an object's name of %d bytes, 1 to %d are allowed", len(s), maxName)
		}
		return ObjectName{Name: s}, err
	}
	id, err := c.uint("an object")
	return ObjectName{ID: id}, err
}

// ParseObject reads r as the name or the id of an object.
func ParseObject(r Raw) (ObjectName, error) {
	c := cursor{b: r}
	n, err := c.object()
	if err == nil {
		err = c.end("the object")
	}
	return n, err
}

// Operations are the elements of a batch, to be read one after another.
type Operations struct {
	c cursor
	n int
}

// ParseOperations reads the head of r, an array of operations; it has been scanned.
func ParseOperations(r Raw) (Operations, error) {
	o := Operations{c: cursor{b: r}}
	var err error
	o.n, err = o.c.list("a batch")
	return o, err
}

// Len is how many there are still.
func (o *Operations) Len() int { return o.n }

// Next reads the next one, whose arguments it appends to into. Its error is of that one alone: the
// next can be read all the same.
func (o *Operations) Next(into []Raw) (v Call, args []Raw, err error) {
	o.n--
	start := o.c.i
	if v, args, err = o.c.element(into); err != nil {
		o.c.i = start
		o.c.skip()
	}
	return v, args, err
}

// element reads [object, op, args] with all of the args.
func (c *cursor) element(into []Raw) (v Call, args []Raw, err error) {
	if err = c.tuple(3, "an element of a batch"); err != nil {
		return v, into, err
	}
	if v.Object, err = c.object(); err == nil {
		v.Op, err = c.str("the operation")
	}
	n := 0
	if err == nil {
		n, err = c.list("the arguments")
	}
	for ; n > 0 && err == nil; n-- {
		var r Raw
		r, err = c.raw("an argument")
		into = append(into, r)
	}
	return v, into, err
}
