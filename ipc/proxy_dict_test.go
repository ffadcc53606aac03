package ipc

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"
)

// gives fails the test unless an operation has given what was expected.
func gives[T comparable](t testing.TB, what string, expected T) func(T, error) {
	t.Helper()
	return func(got T, err error) {
		t.Helper()
		if got != expected || err != nil {
			t.Errorf("%s: %v, %v, expected %v", what, got, err, expected)
		}
	}
}

func givesList[T comparable](t testing.TB, what string, expected ...T) func([]T, error) {
	t.Helper()
	return func(got []T, err error) {
		t.Helper()
		if !slices.Equal(got, expected) || err != nil {
			t.Errorf("%s: %v, %v, expected %v", what, got, err, expected)
		}
	}
}

func wantErr(t testing.TB, what string, err, expected error) {
	t.Helper()
	if !errors.Is(err, expected) {
		t.Errorf("%s: %v, expected %v", what, err, expected)
	}
}

func TestProxyDict(t *testing.T) {
	checkLeaks(t)
	_, path := newTestManager(t, ManagerOptions{})
	c, ctx := connect(t, path, ConnectOptions{}), within(t)
	d := make1[*Dict[string, int]](t)(NewDict[string, int](ctx, c, ManagedOptions{Name: "d"}))
	_, err := d.Get(ctx, "a")
	wantErr(t, "get", err, ErrKey)
	if _, ok, err := d.Lookup(ctx, "a"); ok || err != nil {
		t.Error(ok, err)
	}
	wantErr(t, "set", d.Set(ctx, "a", 1), nil)
	gives(t, "get", 1)(d.Get(ctx, "a"))
	gives(t, "get or", 9)(d.GetOr(ctx, "b", 9))
	if v, ok, err := d.Lookup(ctx, "a"); v != 1 || !ok || err != nil {
		t.Error(v, ok, err)
	}
	wantErr(t, "update", d.Update(ctx, map[string]int{"b": 2, "c": 3}), nil)
	wantErr(t, "update", d.UpdatePairs(ctx, []Pair[string, int]{{"z", 26}, {"y", 25}}), nil)
	givesList(t, "keys", "a", "b", "c", "z", "y")(d.Keys(ctx))
	givesList(t, "values", 1, 2, 3, 26, 25)(d.Values(ctx))
	givesList(t, "items", Pair[string, int]{"a", 1}, Pair[string, int]{"b", 2}, Pair[string, int]{"c", 3}, Pair[string, int]{"z", 26}, Pair[string, int]{"y", 25})(d.Items(ctx))
	if m, err := d.Copy(ctx); !maps.Equal(m, map[string]int{"a": 1, "b": 2, "c": 3, "z": 26, "y": 25}) || err != nil {
		t.Error(m, err)
	}
	gives(t, "len", 5)(d.Len(ctx))
	gives(t, "contains", true)(d.Contains(ctx, "z"))
	gives(t, "pop", 26)(d.Pop(ctx, "z"))
	gives(t, "pop or", -1)(d.PopOr(ctx, "z", -1))
	gives(t, "popitem", Pair[string, int]{"y", 25})(d.PopItem(ctx))
	wantErr(t, "delete", d.Delete(ctx, "c"), nil)
	wantErr(t, "delete", d.Delete(ctx, "c"), ErrKey)
	gives(t, "setdefault", 1)(d.SetDefault(ctx, "a", 5))
	gives(t, "setdefault", 5)(d.SetDefault(ctx, "n", 5))
	gives(t, "insert", false)(d.Insert(ctx, "n", 6))
	gives(t, "add", 12)(d.Add(ctx, "n", 7))
	gives(t, "add from", 11)(d.AddFrom(ctx, "m", 1, 10))
	_, err = d.Add(ctx, "missing", 1)
	wantErr(t, "add", err, ErrKey)
	gives(t, "cas", true)(d.CompareAndSwap(ctx, "n", 12, 13))
	gives(t, "cas", false)(d.CompareAndSwap(ctx, "n", 12, 14))
	gives(t, "delete if", false)(d.DeleteIf(ctx, "n", 12))
	gives(t, "delete if", true)(d.DeleteIf(ctx, "n", 13))
	givesList(t, "get many", 1, 2)(d.GetMany(ctx, "a", "b"))
	givesList(t, "get many or", 1, 0)(d.GetManyOr(ctx, 0, "a", "x"))
	_, err = d.GetMany(ctx, "a", "x")
	wantErr(t, "get many", err, ErrKey)
	wantErr(t, "clear", d.Clear(ctx), nil)
	_, err = d.PopItem(ctx)
	wantErr(t, "popitem", err, ErrKey)
	givesList[string](t, "keys")(d.Keys(ctx))
}

func TestProxyDictVersions(t *testing.T) {
	checkLeaks(t)
	_, path := newTestManager(t, ManagerOptions{})
	c, ctx := connect(t, path, ConnectOptions{}), within(t)
	d := make1[*Dict[string, string]](t)(NewDict[string, string](ctx, c, ManagedOptions{}))
	if v, n, err := d.GetVersion(ctx, "k"); v != "" || n != 0 || err != nil {
		t.Error(v, n, err)
	}
	first, err := d.SetVersion(ctx, "k", 0, "one")
	if first == 0 || err != nil {
		t.Fatal(first, err)
	}
	gives(t, "set with an old version", uint64(0))(d.SetVersion(ctx, "k", 0, "two"))
	gives(t, "version", first)(d.Version(ctx))
	if v, n, err := d.GetVersion(ctx, "k"); v != "one" || n != first || err != nil {
		t.Error(v, n, err)
	}
	changed := make(chan Changes[string, string], 1)
	watch := in(func() error {
		ch, err := d.Watch(ctx, first)
		changed <- ch
		return err
	})
	newer := in(func() error { _, err := d.Wait(ctx, "k", "newer", first); return err })
	here := in(func() error { _, err := d.Wait(ctx, "other", "present"); return err })
	untilIs(t, "calls that wait", func() int { s, _ := c.Stats(ctx); return s.Waiting }, 3)
	wantErr(t, "set", d.Set(ctx, "k", "three"), nil)
	wantErr(t, "watch", result(t, "watch", watch), nil)
	wantErr(t, "newer", result(t, "newer", newer), nil)
	if ch := <-changed; len(ch.List) != 1 || !ch.Complete || ch.List[0] != (Change[string, string]{"k", ch.Version, true, "three"}) {
		t.Errorf("changes: %+v", ch)
	}
	wantErr(t, "set", d.Set(ctx, "other", "x"), nil)
	wantErr(t, "present", result(t, "present", here), nil)
	gives(t, "equal", "x")(d.Wait(ctx, "other", "==", "x"))
	wantErr(t, "delete", d.Delete(ctx, "other"), nil)
	gives(t, "absent", "")(d.Wait(ctx, "other", "absent"))
	ch, err := d.Watch(ctx, first, "other")
	if err != nil || len(ch.List) != 1 || ch.List[0].Present || ch.List[0].Key != "other" {
		t.Errorf("changes of one key: %+v, %v", ch, err)
	}
	over, cancel := context.WithCancel(ctx)
	cancel()
	_, err = d.Watch(over, ch.Version)
	wantErr(t, "watch with a context that has ended", err, context.Canceled)
}

func TestProxyDictAll(t *testing.T) {
	checkLeaks(t)
	_, path := newTestManager(t, ManagerOptions{})
	c, ctx := connect(t, path, ConnectOptions{}), within(t)
	d := make1[*Dict[int, int]](t)(NewDict[int, int](ctx, c, ManagedOptions{}))
	for range d.All(ctx) {
		t.Error("an entry of an empty dict")
	}
	const n = 2*scanChunk + 10
	m := map[int]int{}
	for i := range n {
		m[i] = i * i
	}
	wantErr(t, "update", d.Update(ctx, m), nil)
	i := 0
	for p, err := range d.All(ctx) {
		if err != nil || p != (Pair[int, int]{i, i * i}) {
			t.Fatalf("entry %d: %v, %v", i, p, err)
		}
		if i++; i == 100 {
			wantErr(t, "overwrite", d.Set(ctx, n-1, (n-1)*(n-1)), nil)
		}
	}
	if i != n {
		t.Errorf("%d entries, expected %d", i, n)
	}
	var last error
	i = 0
	for _, err := range d.All(ctx) {
		if last = err; i == 0 {
			wantErr(t, "set", d.Set(ctx, -1, 0), nil)
		}
		i++
	}
	wantErr(t, "a key was added", last, ErrChanged)
}

// Objects within a dict are written through.
func TestProxyDictOfLists(t *testing.T) {
	checkLeaks(t)
	_, path := newTestManager(t, ManagerOptions{})
	c, ctx := connect(t, path, ConnectOptions{}), within(t)
	d := make1[*Dict[string, *List[int]]](t)(NewDict[string, *List[int]](ctx, c, ManagedOptions{}))
	l := make1[*List[int]](t)(d.GetOrCreate(ctx, "l", "list", []int{1}))
	wantErr(t, "append", l.Append(ctx, 2), nil)
	l.Close()
	again := make1[*List[int]](t)(d.Get(ctx, "l"))
	givesList(t, "the list in the dict", 1, 2)(again.Copy(ctx))
	popped := make1[*List[int]](t)(d.Pop(ctx, "l"))
	again.Close()
	givesList(t, "the list that was taken out", 1, 2)(popped.Copy(ctx))
	wantRefs(t, popped, 1, 0)
	popped.Close()
	d.Close()
	untilIs(t, "objects", objects(t, c), 0)
}

func TestProxyList(t *testing.T) {
	checkLeaks(t)
	_, path := newTestManager(t, ManagerOptions{})
	c, ctx := connect(t, path, ConnectOptions{}), within(t)
	l := make1[*List[int]](t)(NewList(ctx, c, ManagedOptions{Name: "l"}, 3, 1, 2))
	gives(t, "get", 2)(l.Get(ctx, -1))
	_, err := l.Get(ctx, 3)
	wantErr(t, "get", err, ErrIndex)
	wantErr(t, "set", l.Set(ctx, 0, 5), nil)
	wantErr(t, "append", l.Append(ctx, 7), nil)
	wantErr(t, "extend", l.Extend(ctx, []int{8, 9}), nil)
	wantErr(t, "insert", l.Insert(ctx, 1, 4), nil)
	givesList(t, "copy", 5, 4, 1, 2, 7, 8, 9)(l.Copy(ctx))
	givesList(t, "slice", 1, 2)(l.GetSlice(ctx, Range(2, 4)))
	givesList(t, "slice", 8, 9)(l.GetSlice(ctx, From(-2)))
	wantErr(t, "set slice", l.SetSlice(ctx, Range(0, 2), []int{0}), nil)
	wantErr(t, "delete slice", l.DeleteSlice(ctx, From(4)), nil)
	givesList(t, "copy", 0, 1, 2, 7)(l.Copy(ctx))
	gives(t, "pop", 7)(l.Pop(ctx))
	gives(t, "pop at", 0)(l.PopAt(ctx, 0))
	wantErr(t, "remove", l.Remove(ctx, 9), ErrValue)
	wantErr(t, "remove", l.Remove(ctx, 1), nil)
	wantErr(t, "extend", l.Extend(ctx, []int{1, 2, 3, 2}), nil)
	gives(t, "index", 3)(l.Index(ctx, 3))
	gives(t, "index", 4)(l.Index(ctx, 2, 3))
	gives(t, "count", 3)(l.Count(ctx, 2))
	gives(t, "contains", false)(l.Contains(ctx, 9))
	wantErr(t, "sort", l.Sort(ctx, true), nil)
	wantErr(t, "reverse", l.Reverse(ctx), nil)
	givesList(t, "copy", 1, 2, 2, 2, 3)(l.Copy(ctx))
	gives(t, "add", 13)(l.Add(ctx, -1, 10))
	gives(t, "cas", true)(l.CompareAndSwap(ctx, 0, 1, 0))
	givesList(t, "concat", 0, 2, 2, 2, 13, 1)(l.Concat(ctx, []int{1}))
	wantErr(t, "delete", l.Delete(ctx, 1), nil)
	givesList(t, "push and trim", 0, 2)(l.PushTrim(ctx, 20, 3))
	givesList(t, "repeat", 2, 13, 20, 2, 13, 20)(l.Repeat(ctx, 2))
	wantErr(t, "multiply", l.Multiply(ctx, 2), nil)
	gives(t, "len", 6)(l.Len(ctx))
	other := make1[*List[int]](t)(NewList[int](ctx, c, ManagedOptions{}))
	gives(t, "move", 20)(l.MoveToEnd(ctx, other, -1))
	gives(t, "move", 2)(l.Move(ctx, other, 0, 0))
	givesList(t, "moved", 2, 20)(other.Copy(ctx))
	wait := in(func() error { _, err := other.WaitLen(ctx, "==", 0); return err })
	wantErr(t, "clear", other.Clear(ctx), nil)
	wantErr(t, "wait for the length", result(t, "wait", wait), nil)
	var got []int
	for v, err := range l.All(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, v)
	}
	givesList(t, "all", 13, 20, 2, 13)(got, nil)

	bytes := make1[*List[byte]](t)(NewList[byte](ctx, c, ManagedOptions{}, 1, 2))
	wantErr(t, "extend", bytes.Extend(ctx, []byte{3}), nil)
	givesList[byte](t, "bytes", 1, 2, 3)(bytes.Copy(ctx))
}
