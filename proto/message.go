package proto

// Kind tells the three shapes of messages apart. Its value is the first element of
// the array on the wire, as in MessagePack-RPC.
type Kind uint8

const (
	Request  Kind = 0 // [0, id, method, params]: is answered once
	Response Kind = 1 // [1, id, error, result]: answers the request with this id
	Notify   Kind = 2 // [2, method, params]: is not answered
)

// Names of methods. Those below the line are reserved: a peer answers them with
// KindUnknownMethod until a version gives them a meaning, and nobody uses them for
// something else.
const (
	MethodHello  = "hello"
	MethodReady  = "ready"
	MethodRun    = "run"
	MethodCancel = "cancel"
	MethodStop   = "stop"
	MethodEntry  = "entry"

	MethodYield   = "yield"   // reserved: one of many results of a request
	MethodCredit  = "credit"  // reserved: how many more the receiver takes
	MethodResolve = "resolve" // reserved: ask for a shared object by name
	MethodClaim   = "claim"   // reserved: several tickets handed ahead
)

// maxName bounds the names that a program chooses: methods, tasks, capabilities.
const maxName = 255 // bytes

// A Message is one body, taken apart as far as every message is alike. Which fields
// are set depends on Kind:
//
//	Request   ID Method Params
//	Response  ID and either Fault or Result
//	Notify       Method Params
type Message struct {
	Kind   Kind
	ID     uint64 // counts up from 1, per direction
	Method string
	Params Raw    // an encoded array
	Fault  *Fault // nil for success
	Result Raw    // any encoded value, nil's own byte included; nil only beside a Fault
}

// AppendRequest appends a whole request to b. params is an encoded array; it is
// appended unchecked. See AppendRequestHead to save the copy of a long one.
func AppendRequest(b []byte, id uint64, method string, params []byte) []byte {
	return append(AppendRequestHead(b, id, method), params...)
}

// AppendRequestHead appends what stands before the params of a request, so that a
// writer of several buffers can send them from where they are.
func AppendRequestHead(b []byte, id uint64, method string) []byte {
	b = AppendArrayHeader(b, 4)
	b = append(b, byte(Request))
	b = AppendUint(b, id)
	return AppendString(b, method)
}

// AppendResponse appends a whole response to b: with fault f, or if that is nil with
// result, one encoded value that is appended unchecked; no bytes stand for nil.
func AppendResponse(b []byte, id uint64, f *Fault, result []byte) []byte {
	if f == nil {
		b = AppendResponseHead(b, id)
		if len(result) == 0 {
			return AppendNil(b)
		}
		return append(b, result...)
	}
	b = AppendArrayHeader(b, 4)
	b = append(b, byte(Response))
	b = AppendUint(b, id)
	b = AppendFault(b, f)
	return AppendNil(b)
}

// AppendResponseHead appends what stands before the result of a response without
// fault.
func AppendResponseHead(b []byte, id uint64) []byte {
	b = AppendArrayHeader(b, 4)
	b = append(b, byte(Response))
	b = AppendUint(b, id)
	return AppendNil(b)
}

// AppendNotify appends a whole notification to b. params is an encoded array; it is
// appended unchecked.
func AppendNotify(b []byte, method string, params []byte) []byte {
	return append(AppendNotifyHead(b, method), params...)
}

// AppendNotifyHead appends what stands before the params of a notification, as
// AppendRequestHead does.
func AppendNotifyHead(b []byte, method string) []byte {
	b = AppendArrayHeader(b, 3)
	b = append(b, byte(Notify))
	return AppendString(b, method)
}

// ParseMessage takes the body of a frame apart, after a Scan within lim (and the
// room that lim leaves for the message around a value). Params, Result and the
// Value of a Fault alias body. It returns ErrTooLarge or ErrProtocol; after either
// the connection cannot go on.
func ParseMessage(body []byte, lim Limits) (Message, error) {
	lim = lim.filled()
	if len(body) > lim.Frame {
		return Message{}, tooLarge("frame", uint64(len(body)), uint64(lim.Frame), "bytes")
	}
	if err := scanAll(body, lim.message(), closed); err != nil {
		return Message{}, err
	}
	c := cursor{b: body}
	n, err := c.list("a message")
	if err != nil {
		return Message{}, err
	}
	kind, err := c.uint("the kind of a message")
	if err != nil {
		return Message{}, err
	}
	var m Message
	switch {
	case kind == uint64(Request) && n == 4:
		m, err = c.request()
	case kind == uint64(Response) && n == 4:
		m, err = c.response()
	case kind == uint64(Notify) && n == 3:
		m.Kind = Notify
		err = c.call(&m)
	default:
		err = protocolf("no message is an array of %d that begins with %d", n, kind)
	}
	if err != nil {
		return Message{}, err
	}
	return m, c.end("the message")
}

func (c *cursor) request() (m Message, err error) {
	m.Kind = Request
	if m.ID, err = c.id(); err != nil {
		return m, err
	}
	return m, c.call(&m)
}

func (c *cursor) response() (m Message, err error) {
	m.Kind = Response
	if m.ID, err = c.id(); err != nil {
		return m, err
	}
	if c.null() {
		m.Result, err = c.raw("the result")
		return m, err
	}
	if m.Fault, err = c.fault(); err != nil {
		return m, err
	}
	if !c.null() {
		return m, protocolf("a response with both a fault and a result")
	}
	return m, nil
}

func (c *cursor) id() (uint64, error) {
	id, err := c.uint("an id")
	if err == nil && id == 0 {
		return 0, protocolf("id 0, they count from 1")
	}
	return id, err
}

// call reads the method and the params, which request and notification share.
func (c *cursor) call(m *Message) error {
	method, err := c.str("a method")
	if err != nil {
		return err
	}
	if len(method) == 0 || len(method) > maxName {
		return protocolf("a method's name of %d bytes, 1 to %d are allowed", len(method), maxName)
	}
	m.Method = name(method)
	if t, err := c.peek(); err != nil {
		return err
	} else if t.class != classArray {
		return protocolf("the params of %q must be an array, found %s", method, t.class)
	}
	m.Params, err = c.raw("the params")
	return err
}

// name returns b as a string, without an allocation for those that every ticket
// brings.
func name(b []byte) string {
	switch string(b) {
	case MethodRun:
		return MethodRun
	case MethodCancel:
		return MethodCancel
	case MethodReady:
		return MethodReady
	case MethodHello:
		return MethodHello
	case MethodStop:
		return MethodStop
	case KindError:
		return KindError
	case KindCancelled:
		return KindCancelled
	}
	return string(b)
}
