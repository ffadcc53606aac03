package proto

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"runtime"
	"slices"
	"testing"
)

// No target recovers: a decoder that panics is the finding. And each bounds what
// the decoder allocates by the length of its input, so that no few bytes can ask
// for much.

// bounded runs f and fails if it allocates more than perByte bytes for each of n
// bytes of input, and a constant.
func bounded(t *testing.T, n, perByte int, f func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	if got, most := after.TotalAlloc-before.TotalAlloc, uint64(n*perByte+64<<10); got > most {
		t.Fatalf("%d bytes of input made it allocate %d bytes, the most is %d", n, got, most)
	}
}

// seeds adds what the golden file has: bodies, their params and values.
func seeds(f *testing.F, add func(b []byte)) {
	file, err := os.ReadFile(goldenPath)
	var g goldenFile
	if err := errors.Join(err, json.Unmarshal(file, &g)); err != nil {
		f.Fatal(err)
	}
	for _, c := range g.Frames {
		b, _ := hex.DecodeString(c.Frame)
		add(b[HeaderSize:])
		if m, err := ParseMessage(b[HeaderSize:], Limits{}); err == nil {
			add(m.Params)
			add(m.Result)
		}
	}
	for _, c := range g.BadFrames {
		b, _ := hex.DecodeString(c.Frame)
		add(b[min(HeaderSize, len(b)):])
	}
	for _, c := range g.Values {
		b, _ := hex.DecodeString(c.Hex)
		add(b)
	}
}

func FuzzParseHeader(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x05\x01\x00\x00\x00"))
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ParseHeader(b, Limits{})
		if err != nil {
			if !errors.Is(err, ErrProtocol) && !errors.Is(err, ErrTooLarge) {
				t.Fatal(err)
			}
			return
		}
		if h.Length < 1 || h.Length > defaultFrame || h.Descriptors > defaultDescriptors {
			t.Fatalf("accepted %+v", h)
		}
		if again := AppendHeader(nil, h); !bytes.Equal(again, b[:HeaderSize]) {
			t.Fatalf("%x becomes %x", b[:HeaderSize], again)
		}
	})
}

func FuzzScan(f *testing.F) {
	seeds(f, func(b []byte) { f.Add(b, uint8(8), uint8(100)) })
	f.Fuzz(func(t *testing.T, b []byte, depth, elements uint8) {
		lim := Limits{Depth: int(depth), Elements: int(elements)}
		var err error
		bounded(t, 0, 0, func() { err = Scan(b, lim) })
		c := cursor{b: b}
		skipped := c.skip() == nil && c.i == len(b)
		if err == nil && !skipped {
			t.Fatalf("scanned but not skipped")
		}
		// The other way round only limits can be the reason.
		if skipped && err != nil && !errors.Is(err, ErrTooLarge) {
			t.Fatalf("skipped but not scanned: %v", err)
		}
		// 0 is the default limit, and a depth beyond 128 is not the tighter one.
		if err == nil && Scan(b, Limits{}) != nil && depth <= defaultDepth {
			t.Fatal("passes tight limits and not the wide ones")
		}
	})
}

func FuzzParseMessage(f *testing.F) {
	seeds(f, func(b []byte) { f.Add(b) })
	f.Fuzz(func(t *testing.T, body []byte) {
		var m Message
		var err error
		bounded(t, len(body), 8, func() { m, err = ParseMessage(body, Limits{}) })
		if err != nil {
			if !errors.Is(err, ErrProtocol) && !errors.Is(err, ErrTooLarge) {
				t.Fatal(err)
			}
			return
		}
		once := appendMessage(m)
		again, err := ParseMessage(once, Limits{})
		if err != nil {
			t.Fatalf("%x becomes %x: %v", body, once, err)
		}
		if twice := appendMessage(again); !bytes.Equal(once, twice) {
			t.Fatalf("%x becomes %x becomes %x", body, once, twice)
		}
		bounded(t, len(body), 64, func() { _, err = parseControl(m, nil) })
		if err != nil && !errors.Is(err, ErrProtocol) {
			t.Fatal(err)
		}
	})
}

func appendMessage(m Message) []byte {
	switch m.Kind {
	case Request:
		return AppendRequest(nil, m.ID, m.Method, m.Params)
	case Response:
		return AppendResponse(nil, m.ID, m.Fault, m.Result)
	}
	return AppendNotify(nil, m.Method, m.Params)
}

// Every control message reads the same bytes, which need not have been scanned:
// what one accepts it writes, and reads again as the same.
func FuzzControl(f *testing.F) {
	seeds(f, func(b []byte) { f.Add(b) })
	stable := func(t *testing.T, b []byte, again func(b []byte) ([]byte, error)) {
		var once []byte
		var err error
		bounded(t, len(b), 64, func() { once, err = again(b) })
		if err != nil {
			if !errors.Is(err, ErrProtocol) {
				t.Fatal(err)
			}
			return
		}
		if twice, err := again(once); err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%x becomes %x becomes %x, %v", b, once, twice, err)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		stable(t, b, func(b []byte) ([]byte, error) { v, err := ParseHello(b); return AppendHelloParams(nil, v), err })
		stable(t, b, func(b []byte) ([]byte, error) { v, err := ParseWelcome(b); return AppendWelcome(nil, v), err })
		stable(t, b, func(b []byte) ([]byte, error) { v, err := ParseReady(b); return AppendReadyParams(nil, v), err })
		stable(t, b, func(b []byte) ([]byte, error) { v, err := ParseRun(b); return AppendRunParams(nil, v), err })
		stable(t, b, func(b []byte) ([]byte, error) { v, err := ParseCancel(b); return AppendCancelParams(nil, v), err })
		stable(t, b, func(b []byte) ([]byte, error) { v, err := ParseStop(b); return AppendStopParams(nil, v), err })
		stable(t, b, func(b []byte) ([]byte, error) {
			v, err := ParseFault(b)
			if err != nil {
				return nil, err
			}
			return AppendFault(nil, v), nil
		})
	})
}

func FuzzUnmarshalAny(f *testing.F) {
	seeds(f, func(b []byte) { f.Add(b) })
	f.Fuzz(func(t *testing.T, b []byte) {
		fuzzUnmarshal(t, b, 250, func() any { return new(any) })
	})
}

func FuzzUnmarshalStruct(f *testing.F) {
	seeds(f, func(b []byte) { f.Add(b) })
	p, _ := Marshal(full())
	f.Add(p.Bytes)
	p, _ = Marshal(handles())
	f.Add(p.Bytes)
	// Plans are made here, so that the first input does not pay for them.
	Unmarshal(Payload{Bytes: []byte{0x80}}, new(everything), Limits{})
	Unmarshal(Payload{Bytes: []byte{0x80}}, new(withHandles), Limits{})
	f.Fuzz(func(t *testing.T, b []byte) {
		fuzzUnmarshal(t, b, 400, func() any { return new(everything) })
		fuzzUnmarshal(t, b, 400, func() any { return new(withHandles) })
	})
}

func fuzzUnmarshal(t *testing.T, b []byte, perByte int, make func() any) {
	fds := []int{100, 101, 102}
	closedFakes = nil
	v := make()
	var left []int
	var err error
	bounded(t, len(b), perByte, func() { left, err = Unmarshal(Payload{b, fds}, v, Limits{}) })
	if err != nil {
		// Each descriptor is left over or was closed by the handle that had it.
		all := append(slices.Clone(left), closedFakes...)
		slices.Sort(all)
		if !slices.Equal(all, fds) {
			t.Fatalf("left %v, closed %v, %v", left, closedFakes, err)
		}
		return
	}
	if closedFakes != nil {
		t.Fatalf("closed %v without an error", closedFakes)
	}
	once, err := Marshal(v)
	if errors.Is(err, ErrUnsupported) && bytes.IndexByte(b, byte(ExtHandle)) >= 0 {
		return // a Raw with a handle in it stays here
	}
	if err != nil {
		t.Fatalf("%x becomes %+v: %v", b, v, err)
	}
	if len(once.FDs)+len(left) != len(fds) {
		t.Fatalf("%d descriptors come back, %d were left of %d", len(once.FDs), len(left), len(fds))
	}
	again := make()
	if left, err := Unmarshal(once, again, Limits{}); err != nil || len(left) != 0 {
		t.Fatalf("%x becomes %x: left %v, %v", b, once.Bytes, left, err)
	}
	twice, err := Marshal(again)
	if err != nil || !bytes.Equal(once.Bytes, twice.Bytes) || !slices.Equal(once.FDs, twice.FDs) {
		t.Fatalf("%x becomes %x becomes %x, %v", b, once.Bytes, twice.Bytes, err)
	}
}
