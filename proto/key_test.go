package proto

import (
	"errors"
	"testing"
)

func TestKeys(t *testing.T) {
	seen := map[string]int{}
	for i, row := range sameValues(t) {
		want := key(t, row[0])
		for _, v := range row {
			k := key(t, v)
			if k != want {
				t.Errorf("%x and %x: keys %x and %x", row[0], v, want, k)
			}
			if again := key(t, Raw(k)); again != k || ScanDeep([]byte(k), Limits{}) != nil && ScanDeep(v, Limits{}) == nil {
				t.Errorf("%x has key %x, and that %x", v, k, again)
			}
		}
		if j, twice := seen[want]; twice {
			t.Errorf("rows %d and %d are the same key", i, j)
		}
		seen[want] = i
	}
	for _, v := range []any{[]int{}, map[string]int{}, Set{1}, Slice{}, &Fault{Kind: "k"}, Tuple{1, []int{1}}, Tuple{Tuple{Set{}}}} {
		if k, err := AppendKey([]byte("x"), enc(t, v)); !errors.Is(err, ErrKey) || string(k) != "x" {
			t.Errorf("%#v: %x, %v", v, k, err)
		}
	}
	for _, v := range []Raw{nil, {}, {0xa2, 'a'}, {1, 1}, {0xc1}} {
		if _, err := AppendKey(nil, v); !errors.Is(err, ErrProtocol) {
			t.Errorf("%x: %v", v, err)
		}
	}
	if _, err := AppendKey(nil, enc(t, Tuple{make([]byte, maxKey)})); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a large tuple: %v", err)
	}
	if _, err := AppendKey(nil, enc(t, make([]byte, 2*maxKey))); err != nil {
		t.Errorf("a large bin: %v", err)
	}
	_, err := AppendKey(nil, Raw{0x90})
	if err.Error() != "proto: not a key: an array cannot be one" {
		t.Error(err)
	}
}
