package proto

import (
	"errors"
	"strings"
	"testing"
)

func TestHeader(t *testing.T) {
	for _, h := range []Header{{1, 0}, {255, 1}, {256, 64}, {defaultFrame, 0}} {
		b := AppendHeader([]byte("before"), h)
		got, err := ParseHeader(b[6:], Limits{})
		if len(b) != 6+HeaderSize || err != nil || got != h {
			t.Errorf("%+v: %x, %+v, %v", h, b[6:], got, err)
		}
	}
	if got := AppendHeader(nil, Header{0x01020304, 5}); string(got) != "\x01\x02\x03\x04\x05\x00\x00\x00" {
		t.Errorf("big-endian: %x", got)
	}
}

func TestHeaderBad(t *testing.T) {
	for _, c := range []struct {
		b    string
		lim  Limits
		err  error
		text string
	}{
		{"\x00\x00\x00\x01\x00\x00\x00", Limits{}, ErrProtocol, "8 bytes, found 7"},
		{"", Limits{}, ErrProtocol, "found 0"},
		{"\x00\x00\x00\x00\x00\x00\x00\x00", Limits{}, ErrProtocol, "without a body"},
		{"\x00\x00\x00\x01\x00\x01\x00\x00", Limits{}, ErrProtocol, "flags"},
		{"\x00\x00\x00\x01\x00\x00\x01\x00", Limits{}, ErrProtocol, "reserved"},
		{"\x00\x00\x00\x01\x00\x00\x00\x01", Limits{}, ErrProtocol, "reserved"},
		{"\xff\xff\xff\xff\x00\x00\x00\x00", Limits{}, ErrTooLarge, "frame: 4294967295 > 67174400 bytes"},
		{"\x04\x01\x00\x01\x00\x00\x00\x00", Limits{}, ErrTooLarge, "frame: 67174401 > 67174400 bytes"},
		{"\x00\x00\x00\x01\x41\x00\x00\x00", Limits{}, ErrTooLarge, "frame: 65 > 64 descriptors"},
		{"\x00\x00\x00\x01\xff\x00\x00\x00", Limits{Descriptors: 255}, ErrTooLarge, "frame: 255 > 253 descriptors"},
		{"\x00\x00\x00\x0b\x00\x00\x00\x00", Limits{Frame: 10}, ErrTooLarge, "frame: 11 > 10 bytes"},
	} {
		_, err := ParseHeader([]byte(c.b), c.lim)
		if !errors.Is(err, c.err) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%x: got %v, want %v with %q", c.b, err, c.err, c.text)
		}
	}
}

func TestHeaderPanics(t *testing.T) {
	for _, h := range []Header{{-1, 0}, {1 << 32, 0}, {1, 256}, {1, -1}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%+v: no panic", h)
				}
			}()
			AppendHeader(nil, h)
		}()
	}
}

func TestHeaderAllocates(t *testing.T) {
	b := AppendHeader(nil, Header{5, 1})
	if n := testing.AllocsPerRun(100, func() { ParseHeader(b, Limits{}) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
