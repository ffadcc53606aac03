package ipc

import (
	"testing"

	"github.com/seed-185a7250/multiproc/proto"
)

// A result has no more elements than a value may have, those within its elements counted: then
// it is refused, and nothing has changed.
func TestManagerManyElements(t *testing.T) {
	checkLeaks(t)
	_, path := newTestManager(t, ManagerOptions{})
	a := dialManager(t, path)
	part := make([]int8, maxElements/2)
	l, d := a.create("list"), a.create("dict")
	for i := range 2 {
		a.call(l, "append", part)
		a.call(d, "set", i, part)
	}
	a.fails(proto.KindTooLarge, l, "copy")
	a.fails(proto.KindTooLarge, l, "repeat", 1)
	a.fails(proto.KindTooLarge, l, "push_trim", 1, 0)
	a.fails(proto.KindTooLarge, d, "values")
	a.fails(proto.KindTooLarge, d, "items")
	want(t, a.call(l, "len"), int64(2))
	want(t, len(a.call(l, "get", 1).([]any)), len(part))
	for from := range 2 {
		want(t, len(a.call(d, "scan", from, 10).([]any)[2].([]any)), 1)
	}
	a.call(d, "version")
	news := a.call(d, "watch", 0).([]any)
	want(t, news[0], int64(1))
	want(t, a.call(d, "watch", 1).([]any)[0], int64(2))
}
