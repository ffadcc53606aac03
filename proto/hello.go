package proto

import (
	"fmt"
	"slices"
	"time"
)

// The versions of the protocol that this package speaks.
const (
	MinVersion = 1
	MaxVersion = 1
)

// Capabilities that a worker may name in its Hello.
const (
	CapScoreboard = "scoreboard" // it maps the page and keeps it up to date
	CapChunk      = "chunk"      // it runs many elements in one run
	CapClaim      = "claim"      // it claims runs in the page, and may be handed several ahead
)

// A Hello is the first message on a connection, from the worker, a request with
// id 1. Its answer is a Welcome.
type Hello struct {
	Min, Max int      // versions it speaks; both from 1
	Tasks    []string // names of the tasks it can run, in its own order
	PID      int      // as the worker sees itself; 0 if it does not say
	Caps     []string // capabilities; unknown ones are ignored
	Program  string   // what it is, for logs: "multiproc/go 1.0"
}

// AppendHelloParams appends the params [max, tasks, {min, pid, caps, program}].
func AppendHelloParams(b []byte, h Hello) []byte {
	b = AppendArrayHeader(b, 3)
	b = AppendInt(b, int64(h.Max))
	b = appendStrings(b, h.Tasks)
	w := beginOptions(b)
	if h.Min != h.Max {
		w.count("min", h.Min)
	}
	w.count("pid", h.PID)
	w.strs("caps", h.Caps)
	w.str("program", h.Program)
	return w.end()
}

// ParseHello reads the params of a Hello. What it returns shares nothing with p.
func ParseHello(p Raw) (h Hello, err error) {
	c := cursor{b: p}
	if err = c.tuple(3, "hello"); err != nil {
		return h, err
	}
	if h.Max, err = c.count("the version"); err != nil {
		return h, err
	}
	if h.Tasks, err = c.strs("the tasks"); err != nil {
		return h, err
	}
	h.Min = h.Max
	err = c.options("the options of hello", func(key []byte) (_ bool, err error) {
		switch string(key) {
		case "min":
			h.Min, err = c.count("min")
		case "pid":
			h.PID, err = c.count("pid")
		case "caps":
			h.Caps, err = c.strs("caps")
		case "program":
			h.Program, err = c.text("program")
		default:
			return false, nil
		}
		return true, err
	})
	if err == nil {
		err = c.end("hello")
	}
	if err == nil && (h.Min < 1 || h.Min > h.Max) {
		err = protocolf("hello with versions %d to %d", h.Min, h.Max)
	}
	if err != nil {
		return Hello{}, err
	}
	return h, nil
}

// Has reports whether the worker named the capability.
func (h Hello) Has(capability string) bool {
	return slices.Contains(h.Caps, capability)
}

// Agree returns the highest version that both this package and a peer that speaks
// lo to hi know. When there is none it returns ErrVersion and the fault to answer
// with; its Value is a map with "min" and "max" of this side, so that a peer can
// tell its user which side is the older.
func Agree(lo, hi int) (version int, f *Fault, err error) {
	if hi >= MinVersion && lo <= MaxVersion {
		return min(hi, MaxVersion), nil, nil
	}
	err = fmt.Errorf("%w: this side speaks %d to %d, the peer %d to %d", ErrVersion, MinVersion, MaxVersion, lo, hi)
	v := AppendMapHeader(nil, 2)
	v = AppendUint(AppendString(v, "max"), MaxVersion)
	v = AppendUint(AppendString(v, "min"), MinVersion)
	return 0, &Fault{Kind: KindVersion, Text: err.Error(), Value: v}, err
}

// A Welcome is the answer to a Hello: what the worker is told about itself.
type Welcome struct {
	Version     int           // that is spoken from here on
	Place       int           // number of its seat in the pool, from 1
	Pool        string        // name of the pool
	Incarnation int           // how many processes had the seat, this one included
	Grace       time.Duration // between being told to stop and being killed; 0: not said
	Beat        time.Duration // how often it should write ScoreBeat; 0: not at all
	Slots       int           // how many runs it may be given at a time; 0 is 1
	DataLimit   uint64        // bytes of data it may allocate (RLIMIT_DATA); 0: no limit
	Title       string        // what `ps` should show; empty: leave it
	Parent      string        // name of the master's process
	// Scoreboard is its page, or nil. It is sent only to a worker with CapScoreboard.
	Scoreboard *HandleRef
}

// AppendWelcome appends the result [version, {place, …}]. The descriptor of the
// scoreboard must go with the same frame.
func AppendWelcome(b []byte, v Welcome) []byte {
	b = AppendArrayHeader(b, 2)
	b = AppendInt(b, int64(v.Version))
	w := beginOptions(b)
	w.count("place", v.Place)
	w.str("pool", v.Pool)
	w.count("incarnation", v.Incarnation)
	w.ms("grace_ms", v.Grace)
	w.ms("beat_ms", v.Beat)
	w.count("slots", v.Slots)
	w.uint("data_limit", v.DataLimit)
	w.str("title", v.Title)
	w.str("parent", v.Parent)
	if v.Scoreboard != nil {
		w.key("scoreboard")
		w.b = v.Scoreboard.append(w.b)
	}
	return w.end()
}

// ParseWelcome reads the result of a Hello. Meta of the scoreboard's handle aliases
// r. Whether the frame has its descriptors is for [HandleRef.Pick] to say.
func ParseWelcome(r Raw) (v Welcome, err error) {
	c := cursor{b: r}
	if err = c.tuple(2, "welcome"); err != nil {
		return v, err
	}
	if v.Version, err = c.count("the version"); err != nil {
		return v, err
	}
	err = c.options("the options of welcome", func(key []byte) (_ bool, err error) {
		switch string(key) {
		case "place":
			v.Place, err = c.count("place")
		case "pool":
			v.Pool, err = c.text("pool")
		case "incarnation":
			v.Incarnation, err = c.count("incarnation")
		case "grace_ms":
			v.Grace, err = c.ms("grace_ms")
		case "beat_ms":
			v.Beat, err = c.ms("beat_ms")
		case "slots":
			v.Slots, err = c.count("slots")
		case "data_limit":
			v.DataLimit, err = c.uint("data_limit")
		case "title":
			v.Title, err = c.text("title")
		case "parent":
			v.Parent, err = c.text("parent")
		case "scoreboard":
			v.Scoreboard, err = c.handle("scoreboard", HandleScoreboard)
		default:
			return false, nil
		}
		return true, err
	})
	if err == nil {
		err = c.end("welcome")
	}
	if err != nil {
		return Welcome{}, err
	}
	return v, nil
}

// handle reads an extension that must be a handle of the given kind.
func (c *cursor) handle(what string, kind uint8) (*HandleRef, error) {
	t, content, err := c.take(classExt, what)
	if err != nil {
		return nil, err
	}
	if t.ext != ExtHandle {
		return nil, protocolf("%s must be a handle (extension %d), found extension %d", what, ExtHandle, t.ext)
	}
	r, err := parseHandle(content)
	if err != nil {
		return nil, err
	}
	if r.Kind != kind {
		return nil, protocolf("%s must be a handle of kind %d, found %d", what, kind, r.Kind)
	}
	return &r, nil
}

// A Ready is the worker's notification that its initializer is through. No Run is
// sent before it.
type Ready struct {
	// Fault is why the initializer failed, nil if it did not. The worker then exits.
	Fault *Fault
}

// AppendReadyParams appends the params [fault, {}].
func AppendReadyParams(b []byte, r Ready) []byte {
	b = AppendArrayHeader(b, 2)
	if r.Fault == nil {
		b = AppendNil(b)
	} else {
		b = AppendFault(b, r.Fault)
	}
	return AppendMapHeader(b, 0)
}

// ParseReady reads the params of a Ready. The Value of its Fault aliases p.
func ParseReady(p Raw) (r Ready, err error) {
	c := cursor{b: p}
	if err = c.tuple(2, "ready"); err != nil {
		return r, err
	}
	if !c.null() {
		if r.Fault, err = c.fault(); err != nil {
			return Ready{}, err
		}
	}
	if err = c.noOptions("the options of ready"); err != nil {
		return Ready{}, err
	}
	return r, c.end("ready")
}

func (c *cursor) noOptions(what string) error {
	return c.options(what, func([]byte) (bool, error) { return false, nil })
}
