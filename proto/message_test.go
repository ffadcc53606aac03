package proto

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParseMessageBad(t *testing.T) {
	for _, c := range []struct{ name, b, text string }{
		{"no array", "\x01", "a message must be a array, found integer"},
		{"empty", "\x90", ""},
		{"kind", "\x94\x03\x01\xa1m\x90", "no message is an array of 4 that begins with 3"},
		{"kind is no number", "\x94\xa1x\x01\xa1m\x90", "the kind"},
		{"short request", "\x93\x00\x01\xa1m", "no message is an array of 3 that begins with 0"},
		{"long notify", "\x94\x02\xa1m\x90\x90", "no message is an array of 4 that begins with 2"},
		{"id 0", "\x94\x00\x00\xa1m\x90", "id 0"},
		{"negative id", "\x94\x00\xff\xa1m\x90", "an id"},
		{"method is no string", "\x94\x00\x01\x07\x90", "a method"},
		{"no method", "\x94\x00\x01\xa0\x90", "0 bytes"},
		{"long method", "\x94\x00\x01\xda\x01\x00" + strings.Repeat("m", 256) + "\x90", "256 bytes"},
		{"params are no array", "\x94\x00\x01\xa1m\x80", "must be an array, found map"},
		{"fault and result", "\x94\x01\x01\x93\xa1k\xa1t\x80\x01", "both a fault and a result"},
		{"fault is no array", "\x94\x01\x01\x05\xc0", "a fault"},
		{"short fault", "\x94\x01\x01\x92\xa1k\xa1t\xc0", "array of 3, found 2"},
		{"left over", "\x93\x02\xa1m\x90\x00", "1 bytes after"},
		{"cut", "\x93\x02\xa1m", ""},
	} {
		if _, err := ParseMessage([]byte(c.b), Limits{}); !errors.Is(err, ErrProtocol) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.text)
		}
	}
	if _, err := ParseMessage([]byte("\x93\x02\xa1m\x90"), Limits{Frame: 4}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("over the limit: %v", err)
	}
}

// The pieces for a writer of several buffers make the same bytes as the whole.
func TestPieces(t *testing.T) {
	args := Raw{0x92, 1, 2}
	r := Run{Task: "square", Args: args, Ticket: "t-1", Attempt: 1, Timeout: time.Second}
	whole := AppendRequest(nil, 7, MethodRun, AppendRunParams(nil, r))
	pieces := AppendRunTail(append(AppendRunHead(AppendRequestHead(nil, 7, MethodRun), r.Task), args...), r)
	if string(whole) != string(pieces) {
		t.Errorf("run: %x and %x", whole, pieces)
	}
	whole = AppendResponse(nil, 7, nil, args)
	pieces = append(AppendResponseHead(nil, 7), args...)
	if string(whole) != string(pieces) {
		t.Errorf("response: %x and %x", whole, pieces)
	}
}

// Only what is kept is allocated: nothing for the envelope of a Run and its answer,
// two strings for what a Run says.
func TestParseMessageAllocates(t *testing.T) {
	run := AppendRequest(nil, 1<<40, MethodRun, AppendRunParams(nil, Run{Task: "square", Args: Raw{5}, Ticket: "t-17", Attempt: 1}))
	ok := AppendResponse(nil, 1<<40, nil, Raw{5})
	if n := testing.AllocsPerRun(100, func() { ParseMessage(run, Limits{}); ParseMessage(ok, Limits{}) }); n != 0 {
		t.Errorf("%v allocations for the envelope", n)
	}
	m, _ := ParseMessage(run, Limits{})
	if n := testing.AllocsPerRun(100, func() { ParseRun(m.Params) }); n > 2 {
		t.Errorf("%v allocations for a run", n)
	}
}

func TestMilliseconds(t *testing.T) {
	for d, want := range map[time.Duration]uint64{
		0: 0, 1: 1, time.Millisecond: 1, time.Millisecond + 1: 2, time.Second: 1000, -1: 1, -time.Hour: 1,
		1<<63 - 1: maxMilliseconds, -1 << 63: 1,
	} {
		if got := milliseconds(d); got != want {
			t.Errorf("%d ns: %d ms, want %d", d, got, want)
		}
	}
	b := AppendStopParams(nil, Stop{Grace: 1<<63 - 1})
	if s, err := ParseStop(b); err != nil || s.Grace != time.Duration(maxMilliseconds)*time.Millisecond {
		t.Errorf("the longest time: %v, %v", s, err)
	}
	b = append(AppendString([]byte{0x91, 0x81}, "grace_ms"), AppendUint(nil, maxMilliseconds+1)...)
	if _, err := ParseStop(b); !errors.Is(err, ErrProtocol) {
		t.Errorf("a longer time: %v", err)
	}
}

// Options that a later version may know are skipped, whatever they are; nil is no
// option; a known one of the wrong type is an error.
func TestOptions(t *testing.T) {
	b := AppendMapHeader([]byte{0x91}, 4)
	b = append(AppendString(b, "later"), 0x92, 0x81, 1, 2, 0xc7, 3, 9, 1, 2, 3)
	b = append(AppendString(b, "grace_ms"), 0xc0)
	b = append(AppendString(b, ""), 0x90)
	b = append(AppendString(b, "grace_ms"), 5)
	if s, err := ParseStop(b); err != nil || s.Grace != 5*time.Millisecond {
		t.Errorf("got %v, %v", s, err)
	}
	for _, bad := range []string{"\x91\x81\x05\x05", "\x91\x81\xa8grace_ms\xa15", "\x91\x81\xa8grace_ms\xff", "\x91\xc0", "\x90", "\x91\x80\x80", "\x91\x81\xa8grace_ms"} {
		if s, err := ParseStop([]byte(bad)); !errors.Is(err, ErrProtocol) || s != (Stop{}) {
			t.Errorf("%q: %v, %v", bad, s, err)
		}
	}
}

func TestHelloBad(t *testing.T) {
	for _, h := range []Hello{{Min: 0, Max: 0}, {Min: 2, Max: 1}, {Min: 1, Max: 1 << 40}} {
		if _, err := ParseHello(AppendHelloParams(nil, h)); !errors.Is(err, ErrProtocol) {
			t.Errorf("%+v: %v", h, err)
		}
	}
}

func TestAgree(t *testing.T) {
	if v, f, err := Agree(1, 9); v != MaxVersion || f != nil || err != nil {
		t.Errorf("newer peer that speaks ours: %d, %v, %v", v, f, err)
	}
	v, f, err := Agree(MaxVersion+1, MaxVersion+2)
	if v != 0 || !errors.Is(err, ErrVersion) || f.Kind != KindVersion || !strings.Contains(f.Text, "the peer 2 to 3") {
		t.Errorf("%d, %v, %v", v, f, err)
	}
	var ours map[string]int
	if _, err := Unmarshal(Payload{Bytes: f.Value}, &ours, Limits{}); err != nil || ours["min"] != MinVersion || ours["max"] != MaxVersion {
		t.Errorf("%v, %v", ours, err)
	}
}

func TestFault(t *testing.T) {
	f := &Fault{Kind: KindPanic, Text: "index out of range", Stack: "goroutine 1", Value: Raw{0x91, 5}}
	got, err := ParseFault(AppendFault(nil, f))
	if err != nil || !reflect.DeepEqual(got, f) {
		t.Errorf("got %+v, %v", got, err)
	}
	if f.Error() != "index out of range" || (&Fault{Kind: "odd"}).Error() != "odd" {
		t.Errorf("texts %q, %q", f.Error(), (&Fault{Kind: "odd"}).Error())
	}
	long := strings.Repeat("ü", MaxFaultStack)
	got, err = ParseFault(AppendFault(nil, &Fault{Text: "x" + long, Stack: long}))
	if err != nil || len(got.Text) > MaxFaultText || len(got.Stack) > MaxFaultStack {
		t.Errorf("lengths %d, %d, %v", len(got.Text), len(got.Stack), err)
	}
	for _, s := range []string{got.Text, got.Stack} {
		if strings.ToValidUTF8(s, "") != s || !strings.HasSuffix(s, "üü") || !strings.Contains(s, "the middle is left out") {
			t.Errorf("clipped badly: %.20q", s)
		}
	}
}

func TestScoreMagic(t *testing.T) {
	b := make([]byte, 8)
	for i := range b {
		b[i] = byte(ScoreMagicValue >> (8 * i))
	}
	if string(b) != "MPSCORE1" {
		t.Errorf("%q", b)
	}
}
