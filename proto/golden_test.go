package proto

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"math"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

var update = flag.Bool("update", false, "write testdata/golden.json anew")

const goldenPath = "testdata/golden.json"

// The file that clients in other languages load. PROTOCOL.md tells what is in it.
type goldenFile struct {
	About     []string      `json:"about"`
	Frames    []goldenFrame `json:"frames"`
	BadFrames []badFrame    `json:"bad_frames"`
	Values    []goldenValue `json:"values"`
}

type goldenFrame struct {
	Name        string          `json:"name"`
	Frame       string          `json:"frame"`
	Descriptors int             `json:"descriptors"`
	Body        json.RawMessage `json:"body"`
	Decoded     map[string]any  `json:"decoded"`
}

type badFrame struct {
	Name  string `json:"name"`
	Frame string `json:"frame"`
	Where string `json:"where"` // header, body or params
	Error string `json:"error"`
}

type goldenValue struct {
	Name     string          `json:"name"`
	Hex      string          `json:"hex"`
	Value    json.RawMessage `json:"value"`
	Shortest bool            `json:"shortest"`
}

// A frameCase is a message as this package writes it and as it reads it.
type frameCase struct {
	name    string
	body    []byte
	fds     int
	message Message
	control any            // what Parse… of the params or the result gives
	decoded map[string]any // the same with the names of PROTOCOL.md, times in ms
}

func request(name string, id uint64, method string, params []byte, fds int, control any, decoded map[string]any) frameCase {
	return frameCase{name, AppendRequest(nil, id, method, params), fds, Message{Kind: Request, ID: id, Method: method, Params: params}, control, decoded}
}

func notify(name, method string, params []byte, control any, decoded map[string]any) frameCase {
	return frameCase{name, AppendNotify(nil, method, params), 0, Message{Kind: Notify, Method: method, Params: params}, control, decoded}
}

func response(name string, id uint64, f *Fault, result []byte, fds int, control any, decoded map[string]any) frameCase {
	m := Message{Kind: Response, ID: id, Fault: f, Result: result}
	if f == nil && result == nil {
		m.Result = Raw{codeNil}
	}
	return frameCase{name, AppendResponse(nil, id, f, result), fds, m, control, decoded}
}

type d = map[string]any

func frameCases() []frameCase {
	hello := Hello{Min: 1, Max: 1, Tasks: []string{"square", "tickets.buy"}, PID: 4711, Caps: []string{CapScoreboard}, Program: "multiproc/go 1"}
	newer := Hello{Min: 1, Max: 3, Tasks: nil}
	welcome := Welcome{Version: 1, Place: 2, Pool: "demo", Incarnation: 3, Grace: 5 * time.Second, Beat: 250 * time.Millisecond,
		DataLimit: 1 << 30, Title: "demo: worker 2", Parent: "main", Scoreboard: &HandleRef{Handle: Handle{Kind: HandleScoreboard}, Count: 1}}
	plain := Welcome{Version: 1, Place: 1}
	meta := Welcome{Version: 1, Scoreboard: &HandleRef{Handle: Handle{Kind: HandleScoreboard, Meta: []byte{1, 2}}, First: 0, Count: 1}}
	fault := &Fault{Kind: KindError, Text: "no ticket left"}
	panicked := &Fault{Kind: KindPanic, Text: "index out of range [3]", Stack: "goroutine 1 [running]:\nmain.f()\n", Value: Raw{0x81, 0xa1, 'i', 3}}
	run := Run{Task: "tickets.buy", Args: Raw{0x81, 0xa5, 's', 't', 'o', 'c', 'k', 10}, Ticket: "buy-7", Attempt: 2, Attempts: 5,
		Timeout: 1500 * time.Millisecond, Grace: time.Second, Seq: 7, Epoch: 1}
	bare := Run{Task: "noop", Args: Raw{codeNil}}
	lock := append([]byte{0x81, 0xa4, 'l', 'o', 'c', 'k'}, HandleRef{Handle: Handle{Kind: 200, Meta: []byte("m")}, First: 0, Count: 1}.append(nil)...)
	withLock := Run{Task: "guarded", Args: lock, Ticket: "g"}
	chunk := Run{Task: "square", Args: Raw{0x93, 1, 2, 3}, Ticket: "c", Chunk: 3}
	chunkResult, _ := AppendChunk(nil, []int{1, 4, 9}, nil)
	biggest := Run{Task: "t", Args: Raw(AppendUint(nil, math.MaxUint64)), Attempt: math.MaxInt32, Attempts: math.MaxInt32,
		Timeout: time.Duration(maxMilliseconds) * time.Millisecond, Grace: time.Millisecond, Seq: math.MaxUint64, Epoch: math.MaxUint64}
	cancel := Cancel{ID: 9, Reason: "timeout", Grace: 300 * time.Millisecond}
	entry := Entry{Version: 1, Entry: "sing", Args: Raw{10}, Name: "singer", Parent: "main", Daemon: true, Grace: 5 * time.Second}
	plainEntry := Entry{Version: 1, Entry: "sing", Args: Raw{codeNil}}
	_, version, _ := Agree(2, 3)
	text := func(n int) string { return strings.Repeat("x", n) }
	long := Run{Task: text(200), Args: Raw(AppendString(nil, text(300))), Ticket: text(40)}
	return append([]frameCase{
		request("hello", 1, MethodHello, AppendHelloParams(nil, hello), 0, hello,
			d{"min": 1, "max": 1, "tasks": []any{"square", "tickets.buy"}, "pid": 4711, "caps": []any{"scoreboard"}, "program": "multiproc/go 1"}),
		request("hello of a newer worker, no tasks, no options", 1, MethodHello, AppendHelloParams(nil, newer), 0, newer,
			d{"min": 1, "max": 3, "tasks": []any{}}),
		response("welcome, every option", 1, nil, AppendWelcome(nil, welcome), 1, welcome,
			d{"version": 1, "place": 2, "pool": "demo", "incarnation": 3, "grace_ms": 5000, "beat_ms": 250, "data_limit": 1 << 30, "title": "demo: worker 2", "parent": "main",
				"scoreboard": d{"kind": 16, "first": 0, "count": 1, "meta": ""}}),
		response("welcome, nothing but the version and the place", 1, nil, AppendWelcome(nil, plain), 0, plain, d{"version": 1, "place": 1}),
		response("welcome, a scoreboard with meta", 1, nil, AppendWelcome(nil, meta), 1, meta,
			d{"version": 1, "scoreboard": d{"kind": 16, "first": 0, "count": 1, "meta": "0102"}}),
		response("no common version", 1, version, nil, 0, nil,
			d{"fault": d{"kind": "version", "text": version.Text, "value": d{"max": 1, "min": 1}}}),
		notify("ready", MethodReady, AppendReadyParams(nil, Ready{}), Ready{}, d{}),
		notify("ready, initializer failed", MethodReady, AppendReadyParams(nil, Ready{Fault: fault}), Ready{Fault: fault},
			d{"fault": d{"kind": "error", "text": "no ticket left"}}),
		request("run, every option", 7, MethodRun, AppendRunParams(nil, run), 0, run,
			d{"task": "tickets.buy", "args": d{"stock": 10}, "ticket": "buy-7", "attempt": 2, "attempts": 5, "timeout_ms": 1500, "grace_ms": 1000, "seq": 7, "epoch": 1}),
		request("run, no option, no arguments", 1, MethodRun, AppendRunParams(nil, bare), 0, bare, d{"task": "noop", "args": nil}),
		request("run, a handle in the arguments", 128, MethodRun, AppendRunParams(nil, withLock), 1, withLock,
			d{"task": "guarded", "args": d{"lock": d{"$ext": []any{1, "c800016d"}}}, "ticket": "g"}),
		request("run, the greatest of all numbers", math.MaxUint64, MethodRun, AppendRunParams(nil, biggest), 0, biggest,
			d{"task": "t", "args": json.Number("18446744073709551615"), "attempt": math.MaxInt32, "attempts": math.MaxInt32,
				"timeout_ms": maxMilliseconds, "grace_ms": 1, "seq": uint64(math.MaxUint64), "epoch": uint64(math.MaxUint64)}),
		request("run, strings of 40, 200 and 300 bytes", 1<<32, MethodRun, AppendRunParams(nil, long), 0, long,
			d{"task": text(200), "args": text(300), "ticket": text(40)}),
		request("run, a chunk of three elements", 8, MethodRun, AppendRunParams(nil, chunk), 0, chunk,
			d{"task": "square", "args": []any{1, 2, 3}, "ticket": "c", "chunk": 3}),
		response("result of a chunk", 8, nil, chunkResult, 0, nil, d{"result": []any{nil, []any{1, 4, 9}}}),
		response("result", 7, nil, Raw{0x31}, 0, nil, d{"result": 49}),
		response("result nil", 256, nil, nil, 0, nil, d{"result": nil}),
		response("result with a handle", 65536, nil, HandleRef{Handle: Handle{Kind: 200}, Count: 2}.append(nil), 2, nil, d{"result": d{"$ext": []any{1, "c80002"}}}),
		response("fault", 7, fault, nil, 0, nil, d{"fault": d{"kind": "error", "text": "no ticket left"}}),
		response("fault with stack and value", 7, panicked, nil, 0, nil,
			d{"fault": d{"kind": "panic", "text": panicked.Text, "stack": panicked.Stack, "value": d{"i": 3}}}),
		notify("cancel", MethodCancel, AppendCancelParams(nil, cancel), cancel, d{"id": 9, "reason": "timeout", "grace_ms": 300}),
		notify("cancel, no option", MethodCancel, AppendCancelParams(nil, Cancel{ID: 1}), Cancel{ID: 1}, d{"id": 1}),
		notify("stop", MethodStop, AppendStopParams(nil, Stop{Grace: 2 * time.Second}), Stop{Grace: 2 * time.Second}, d{"grace_ms": 2000}),
		notify("stop, no option", MethodStop, AppendStopParams(nil, Stop{}), Stop{}, d{}),
		notify("entry, every option", MethodEntry, AppendEntryParams(nil, entry), entry,
			d{"version": 1, "entry": "sing", "args": 10, "name": "singer", "parent": "main", "daemon": true, "grace_ms": 5000}),
		notify("entry, no option, no arguments", MethodEntry, AppendEntryParams(nil, plainEntry), plainEntry, d{"version": 1, "entry": "sing", "args": nil}),
		request("a method nobody knows", 2, "later.method", []byte{0x90}, 0, nil, d{"params": []any{}}),
		notify("a reserved method", MethodYield, []byte{0x91, 0x80}, nil, d{"params": []any{d{}}}),
	}, managedFrames()...)
}

// badCases are frames that must be refused.
func badCases() []badFrame {
	frame := func(body string) string {
		return hex.EncodeToString(append(AppendHeader(nil, Header{Length: len(body)}), body...))
	}
	head := func(h string) string { return hex.EncodeToString([]byte(h)) }
	params := func(method, p string) string {
		return frame(string(AppendNotify(nil, method, []byte(p))))
	}
	return []badFrame{
		{"header cut short", head("\x00\x00\x00\x01\x00\x00\x00"), "header", "ErrProtocol"},
		{"no body", head("\x00\x00\x00\x00\x00\x00\x00\x00"), "header", "ErrProtocol"},
		{"flags not 0", head("\x00\x00\x00\x01\x00\x01\x00\x00") + "c0", "header", "ErrProtocol"},
		{"reserved not 0", head("\x00\x00\x00\x01\x00\x00\x00\x01") + "c0", "header", "ErrProtocol"},
		{"one byte over the limit", head("\x04\x01\x00\x01\x00\x00\x00\x00"), "header", "ErrTooLarge"},
		{"four gigabytes", head("\xff\xff\xff\xff\x00\x00\x00\x00"), "header", "ErrTooLarge"},
		{"65 descriptors", head("\x00\x00\x00\x01\x41\x00\x00\x00") + "c0", "header", "ErrTooLarge"},
		{"not an array", frame("\xc0"), "body", "ErrProtocol"},
		{"byte c1", frame("\xc1"), "body", "ErrProtocol"},
		{"two values", frame("\x93\x02\xa1m\x90\xc0"), "body", "ErrProtocol"},
		{"cut within the params", frame("\x93\x02\xa1m\x91"), "body", "ErrProtocol"},
		{"array of 4,294,967,295", frame("\x93\x02\xa1m\xdd\xff\xff\xff\xff"), "body", "ErrTooLarge"},
		{"map of 4,294,967,295", frame("\x93\x02\xa1m\x91\xdf\xff\xff\xff\xff"), "body", "ErrTooLarge"},
		{"array of 65,536 in one byte", frame("\x93\x02\xa1m\xdd\x00\x01\x00\x00\xc0"), "body", "ErrProtocol"},
		{"str of 4,294,967,295", frame("\x93\x02\xdb\xff\xff\xff\xffm"), "body", "ErrProtocol"},
		{"bin longer than the body", frame("\x93\x02\xa1m\x91\xc4\x05\x00"), "body", "ErrProtocol"},
		{"137 levels", frame("\x93\x02\xa1m" + strings.Repeat("\x91", 136) + "\xc0"), "body", "ErrTooLarge"},
		{"kind 3", frame("\x94\x03\x01\xa1m\x90"), "body", "ErrProtocol"},
		{"request of 3", frame("\x93\x00\x01\xa1m"), "body", "ErrProtocol"},
		{"notification of 4", frame("\x94\x02\xa1m\x90\xc0"), "body", "ErrProtocol"},
		{"id 0", frame("\x94\x00\x00\xa1m\x90"), "body", "ErrProtocol"},
		{"id -1", frame("\x94\x01\xff\xc0\xc0"), "body", "ErrProtocol"},
		{"id 1.0", frame("\x94\x01\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00\xc0\xc0"), "body", "ErrProtocol"},
		{"no method", frame("\x93\x02\xa0\x90"), "body", "ErrProtocol"},
		{"method of 256 bytes", frame("\x93\x02\xda\x01\x00" + strings.Repeat("m", 256) + "\x90"), "body", "ErrProtocol"},
		{"method in a bin", frame("\x93\x02\xc4\x01m\x90"), "body", "ErrProtocol"},
		{"params in a map", frame("\x93\x02\xa1m\x80"), "body", "ErrProtocol"},
		{"fault and result", frame("\x94\x01\x01\x93\xa5error\xa1t\x80\x01"), "body", "ErrProtocol"},
		{"fault in a str", frame("\x94\x01\x01\xa1t\xc0"), "body", "ErrProtocol"},
		{"fault of 2", frame("\x94\x01\x01\x92\xa5error\xa1t\xc0"), "body", "ErrProtocol"},
		{"stop without options", params(MethodStop, "\x90"), "params", "ErrProtocol"},
		{"stop, options in an array", params(MethodStop, "\x91\x90"), "params", "ErrProtocol"},
		{"stop, an option that is no str", params(MethodStop, "\x91\x81\x01\x01"), "params", "ErrProtocol"},
		{"stop, grace_ms negative", params(MethodStop, "\x91\x81\xa8grace_ms\xff"), "params", "ErrProtocol"},
		{"stop, grace_ms beyond its range", params(MethodStop, "\x91\x81\xa8grace_ms\xcf\xff\xff\xff\xff\xff\xff\xff\xff"), "params", "ErrProtocol"},
		{"stop, one too many", params(MethodStop, "\x92\x80\x80"), "params", "ErrProtocol"},
		{"cancel of id 0", params(MethodCancel, "\x92\x00\x80"), "params", "ErrProtocol"},
		{"cancel of id \"1\"", params(MethodCancel, "\x92\xa11\x80"), "params", "ErrProtocol"},
		{"ready with a fault of nothing", params(MethodReady, "\x92\x90\x80"), "params", "ErrProtocol"},
		{"hello with version 0", params(MethodHello, "\x93\x00\x90\x80"), "params", "ErrProtocol"},
		{"hello with min above max", params(MethodHello, "\x93\x01\x90\x81\xa3min\x02"), "params", "ErrProtocol"},
		{"hello with a task that is no str", params(MethodHello, "\x93\x01\x91\x01\x80"), "params", "ErrProtocol"},
		{"entry without arguments", params(MethodEntry, "\x93\x01\xa1e\x80"), "params", "ErrProtocol"},
		{"entry, daemon is a number", params(MethodEntry, "\x94\x01\xa1e\xc0\x81\xa6daemon\x01"), "params", "ErrProtocol"},
		{"run without arguments", params(MethodRun, "\x92\xa1t\x80"), "params", "ErrProtocol"},
		{"run of a task that is no str", params(MethodRun, "\x93\x01\xc0\x80"), "params", "ErrProtocol"},
	}
}

// parseControl parses the params, or for a response the result, as what they are.
func parseControl(m Message, like any) (any, error) {
	if m.Kind == Response {
		return parseResult(m.Result, like)
	}
	switch m.Method {
	case MethodHello:
		return ParseHello(m.Params)
	case MethodReady:
		return ParseReady(m.Params)
	case MethodRun:
		return ParseRun(m.Params)
	case MethodCancel:
		return ParseCancel(m.Params)
	case MethodStop:
		return ParseStop(m.Params)
	case MethodEntry:
		return ParseEntry(m.Params)
	case MethodCall:
		return ParseCall(m.Params)
	case MethodAuth:
		return ParseAuth(m.Params)
	}
	return like, nil
}

func valueCases() []goldenValue {
	var cases []goldenValue
	add := func(name string, b []byte, shortest bool) {
		cases = append(cases, goldenValue{name, hex.EncodeToString(b), json.RawMessage(toJSON(b)), shortest})
	}
	for _, n := range []int64{0, 1, 127, 128, 255, 256, 65535, 65536, 1<<32 - 1, 1 << 32, math.MaxInt64, -1, -32, -33, -128, -129, -32768, -32769, -1 << 31, -1<<31 - 1, math.MinInt64} {
		add("integer "+strconv.FormatInt(n, 10), AppendInt(nil, n), true)
	}
	add("integer 18446744073709551615", AppendUint(nil, math.MaxUint64), true)
	add("nil", AppendNil(nil), true)
	add("false", AppendBool(nil, false), true)
	add("true", AppendBool(nil, true), true)
	add("float 1.5", AppendFloat(nil, 1.5), true)
	add("float 1.0 is no integer", AppendFloat(nil, 1), true)
	add("float 32", AppendFloat32(nil, 0.5), true)
	add("float infinite", AppendFloat(nil, math.Inf(1)), true)
	add("float not a number", AppendFloat(nil, math.NaN()), true)
	for _, n := range []int{0, 1, 31, 32, 255, 256} {
		add("str of "+strconv.Itoa(n), AppendString(nil, strings.Repeat("s", n)), true)
		add("bin of "+strconv.Itoa(n), AppendBin(nil, bytes.Repeat([]byte{0xfe}, n)), true)
		add("extension of "+strconv.Itoa(n), append(AppendExtHeader(nil, 100, n), bytes.Repeat([]byte{1}, n)...), true)
	}
	add("str beyond ASCII", AppendString(nil, "grün ✓"), true)
	for _, n := range []int{0, 1, 15, 16} {
		add("array of "+strconv.Itoa(n), append(AppendArrayHeader(nil, n), bytes.Repeat([]byte{7}, n)...), true)
		b := AppendMapHeader(nil, n)
		for i := range n {
			b = append(AppendString(b, string(rune('a'+i))), byte(i))
		}
		add("map of "+strconv.Itoa(n), b, true)
	}
	add("map with keys that are no str", []byte{0x82, 1, 2, 0xc3, 0x91, 0xc0}, true)
	add("time, 32 bits", appendTime(nil, time.Unix(1700000000, 0)), true)
	add("time, 64 bits", appendTime(nil, time.Unix(1700000000, 500)), true)
	add("time, 96 bits", appendTime(nil, time.Unix(-1, 999999999)), true)
	add("handle, kind 200, descriptors 1 and 2", HandleRef{Handle: Handle{Kind: 200, Meta: []byte{9}}, First: 1, Count: 2}.append(nil), true)
	for _, c := range extensionCases() {
		add(c.name, c.b, true)
	}
	add("longer than needed: big integer of 64 bits", rawExt(ExtBigInt, 1), false)
	add("longer than needed: big integer with a byte of sign too many", rawExt(ExtBigInt, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0), false)
	add("longer than needed: 5 in 64 bits", []byte{0xcf, 0, 0, 0, 0, 0, 0, 0, 5}, false)
	add("longer than needed: 5 in a signed 8", []byte{0xd0, 5}, false)
	add("longer than needed: str", []byte{0xdb, 0, 0, 0, 1, 'a'}, false)
	add("longer than needed: array", []byte{0xdd, 0, 0, 0, 1, 0xc0}, false)
	add("longer than needed: map", []byte{0xdf, 0, 0, 0, 1, 0xa1, 'a', 1}, false)
	return cases
}

// toJSON writes a value as JSON that keeps what JSON has no word for; PROTOCOL.md,
// "Test vectors", has the rules.
func toJSON(b []byte) string {
	c := cursor{b: b}
	return c.json()
}

func (c *cursor) json() string {
	t, err := c.peek()
	if err != nil {
		panic(err)
	}
	c.i += t.head()
	quote := func(s string) string { q, _ := json.Marshal(s); return string(q) }
	switch t.class {
	case classNil:
		return "null"
	case classBool:
		return strconv.FormatBool(t.bits != 0)
	case classUint:
		return strconv.FormatUint(t.bits, 10)
	case classInt:
		return strconv.FormatInt(int64(t.bits), 10)
	case classFloat32, classFloat64:
		f := math.Float64frombits(t.bits)
		if t.class == classFloat32 {
			f = float64(math.Float32frombits(uint32(t.bits)))
		}
		switch {
		case math.IsNaN(f):
			return `{"$float":"nan"}`
		case math.IsInf(f, 1):
			return `{"$float":"inf"}`
		case f == math.Trunc(f):
			return strconv.FormatFloat(f, 'f', 1, 64)
		}
		return strconv.FormatFloat(f, 'g', -1, 64)
	case classArray:
		parts := make([]string, t.n())
		for i := range parts {
			parts[i] = c.json()
		}
		return "[" + strings.Join(parts, ",") + "]"
	case classMap:
		var plain, pairs []string
		strs := true
		for range t.n() {
			kt, _ := c.peek()
			strs = strs && kt.class == classStr
			k, v := c.json(), c.json()
			plain = append(plain, k+":"+v)
			pairs = append(pairs, "["+k+","+v+"]")
		}
		if strs {
			return "{" + strings.Join(plain, ",") + "}"
		}
		return `{"$map":[` + strings.Join(pairs, ",") + "]}"
	}
	content := c.b[c.i : c.i+t.n()]
	c.i += t.n()
	switch t.class {
	case classStr:
		return quote(string(content))
	case classBin:
		return `{"$bin":` + quote(hex.EncodeToString(content)) + "}"
	}
	return `{"$ext":[` + strconv.Itoa(int(t.ext)) + "," + quote(hex.EncodeToString(content)) + "]}"
}

func golden() goldenFile {
	g := goldenFile{About: []string{
		"Test vectors of the Multiproc wire protocol. PROTOCOL.md, section Test vectors, says how to read this file.",
		"Written by: go test ./proto -run TestGolden -update",
	}}
	for _, c := range frameCases() {
		b := append(AppendHeader(nil, Header{len(c.body), c.fds}), c.body...)
		g.Frames = append(g.Frames, goldenFrame{c.name, hex.EncodeToString(b), c.fds, json.RawMessage(toJSON(c.body)), c.decoded})
	}
	g.BadFrames = badCases()
	g.Values = valueCases()
	return g
}

// What this package writes is what the file says, to the byte.
func TestGoldenWrite(t *testing.T) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(golden()); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(goldenPath, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.ReadFile(goldenPath)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(file, b.Bytes()) {
		t.Errorf("%s is not what is written now; the wire has changed, or run the test with -update", goldenPath)
	}
}

func readGolden(t *testing.T) (g goldenFile) {
	file, err := os.ReadFile(goldenPath)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(file, &g); err != nil {
		t.Fatal(err)
	}
	return g
}

// What the file says is what this package reads.
func TestGoldenRead(t *testing.T) {
	cases := frameCases()
	for i, f := range readGolden(t).Frames {
		b, err := hex.DecodeString(f.Frame)
		if err != nil {
			t.Fatal(err)
		}
		h, err := ParseHeader(b, Limits{})
		if err != nil || h.Length != len(b)-HeaderSize || h.Descriptors != f.Descriptors {
			t.Errorf("%s: %+v, %v", f.Name, h, err)
			continue
		}
		m, err := ParseMessage(b[HeaderSize:], Limits{})
		if err != nil || !reflect.DeepEqual(m, cases[i].message) {
			t.Errorf("%s:\n got %+v, %v\nwant %+v", f.Name, m, err, cases[i].message)
			continue
		}
		if cases[i].control == nil {
			continue
		}
		got, err := parseControl(m, cases[i].control)
		if err != nil || !reflect.DeepEqual(got, cases[i].control) {
			t.Errorf("%s:\n got %+v, %v\nwant %+v", f.Name, got, err, cases[i].control)
		}
	}
}

// Another library agrees about the bodies, where it can.
func TestGoldenOtherLibrary(t *testing.T) {
	for _, f := range readGolden(t).Frames {
		b, _ := hex.DecodeString(f.Frame)
		if strings.Contains(string(f.Body), "$ext") || strings.Contains(string(f.Body), "$bin") {
			continue // it refuses the one, and writes the other as a string
		}
		var v any
		if err := msgpack.Unmarshal(b[HeaderSize:], &v); err != nil {
			t.Errorf("%s: %v", f.Name, err)
			continue
		}
		theirs, err := json.Marshal(v)
		var ours bytes.Buffer
		enc := json.NewEncoder(&ours)
		var generic any
		dec := json.NewDecoder(bytes.NewReader(f.Body))
		dec.UseNumber()
		if err := errors.Join(err, dec.Decode(&generic), enc.Encode(generic)); err != nil {
			t.Fatal(err)
		}
		if strings.TrimSpace(ours.String()) != string(theirs) {
			t.Errorf("%s:\nfile    %slibrary %s", f.Name, ours.String(), theirs)
		}
	}
}

func TestGoldenBad(t *testing.T) {
	names := map[string]error{"ErrProtocol": ErrProtocol, "ErrTooLarge": ErrTooLarge}
	for _, f := range readGolden(t).BadFrames {
		b, err := hex.DecodeString(f.Frame)
		if err != nil {
			t.Fatal(err)
		}
		where := "header"
		h, err := ParseHeader(b, Limits{})
		var m Message
		if err == nil {
			if h.Length != len(b)-HeaderSize {
				t.Errorf("%s: length %d of %d", f.Name, h.Length, len(b)-HeaderSize)
			}
			where = "body"
			m, err = ParseMessage(b[HeaderSize:], Limits{})
		}
		if err == nil {
			where = "params"
			_, err = parseControl(m, nil)
		}
		if !errors.Is(err, names[f.Error]) || err == nil || where != f.Where {
			t.Errorf("%s: %s: %v, want %s: %s", f.Name, where, err, f.Where, f.Error)
		}
	}
}

func TestGoldenValues(t *testing.T) {
	for _, c := range readGolden(t).Values {
		b, err := hex.DecodeString(c.Hex)
		if err != nil {
			t.Fatal(err)
		}
		if err := Scan(b, Limits{}); err != nil {
			t.Errorf("%s: %v", c.Name, err)
			continue
		}
		var compact bytes.Buffer
		if json.Compact(&compact, c.Value); compact.String() != toJSON(b) {
			t.Errorf("%s: %s, want %s", c.Name, toJSON(b), compact.String())
		}
		if strings.HasPrefix(c.Name, "handle") {
			continue
		}
		// Opened and encoded again, the shortest form comes out.
		var v any
		if _, err := Unmarshal(Payload{Bytes: b}, &v, Limits{}); err != nil {
			t.Errorf("%s: %v", c.Name, err)
			continue
		}
		p, err := Marshal(v)
		if same := bytes.Equal(p.Bytes, b); err != nil || same != c.Shortest && c.Name != "float 32" {
			t.Errorf("%s: %x becomes %x, %v", c.Name, b, p.Bytes, err)
		}
	}
}
