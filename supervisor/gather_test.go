package supervisor

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// open is a future that the test settles. Cancel settles it with the cause.
func open() *Future[int] {
	f := &Future[int]{ready: true}
	f.stop = func(cause error) {
		if !f.p.kept.Load() {
			f.settle(0, cause)
		}
	}
	return f
}

func openAll(n int) (fs []*Future[int]) {
	for range n {
		fs = append(fs, open())
	}
	return fs
}

// watched waits until somebody waits for f.
func watched(t *testing.T, f *Future[int]) {
	t.Helper()
	eventually(t, func() bool {
		f.p.mu.Lock()
		defer f.p.mu.Unlock()
		return f.p.hooks.first != nil
	}, "somebody waits for the future")
}

// unwatched fails the test if anybody is still remembered by a future.
func unwatched(t *testing.T, fs []*Future[int]) {
	t.Helper()
	for i, f := range fs {
		if f.p.hooks != (chain[hook]{}) {
			t.Errorf("future %d still has hooks", i)
		}
	}
}

func endedBy(cause error) context.Context {
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(cause)
	return ctx
}

var errTest, errEarly = errors.New("a test's error"), errors.New("no patience")

func TestGather(t *testing.T) {
	checkLeaks(t)
	fs := openAll(3)
	fs[1].settle(10, nil)
	got := make(chan []int)
	go func() {
		list, err := Gather(within(t), fs...)
		if err != nil {
			t.Error(err)
		}
		got <- list
	}()
	watched(t, fs[2])
	fs[2].settle(20, nil)
	fs[0].settle(0, nil)
	if list := receive(t, got, "the values"); !slices.Equal(list, []int{0, 10, 20}) {
		t.Errorf("%v", list)
	}
	if list, err := Gather[int](endedBy(errEarly)); err != nil || len(list) != 0 {
		t.Errorf("of none: %v, %v", list, err)
	}
	if list, err := Gather(endedBy(errEarly), fs...); err != nil || len(list) != 3 {
		t.Errorf("of what is done, when the context has ended: %v, %v", list, err)
	}
	if list, err := Gather(within(t), fs[0], fs[2], fs[0]); err != nil || !slices.Equal(list, []int{0, 20, 0}) {
		t.Errorf("one given twice: %v, %v", list, err)
	}
}

// The first error to come ends it, not the first in the order of arguments; the others go on.
func TestGatherError(t *testing.T) {
	checkLeaks(t)
	fs := openAll(3)
	failed := make(chan error)
	go func() {
		_, err := Gather(within(t), fs...)
		failed <- err
	}()
	watched(t, fs[2])
	fs[2].settle(0, errTest)
	if err := receive(t, failed, "the error"); err != errTest {
		t.Errorf("%v, expected %v", err, errTest)
	}
	unwatched(t, fs)
	fs[0].settle(1, nil)
	answers := GatherAll(endedBy(errEarly), fs...)
	for i, want := range []Answer[int]{{Value: 1}, {Err: context.Canceled}, {Err: errTest}} {
		if got := answers[i]; got.Value != want.Value || !errors.Is(got.Err, want.Err) {
			t.Errorf("answer %d: %+v, expected %+v", i, got, want)
		}
	}
}

// What waits in vain returns when its context ends, and leaves neither goroutine nor hook.
func TestWaitsEnd(t *testing.T) {
	checkLeaks(t)
	fs := openAll(3)
	fs[1].settle(1, nil)
	for name, wait := range map[string]func(context.Context) error{
		"gather": func(ctx context.Context) error { _, err := Gather(ctx, fs...); return err },
		"wait":   func(ctx context.Context) error { _, _, err := Wait(ctx, AllCompleted, fs...); return err },
		"as completed": func(ctx context.Context) (last error) {
			for f, err := range AsCompleted(ctx, fs...) {
				if (f == nil) != (err != nil) {
					t.Errorf("yields %v, %v", f, err)
				}
				last = err
			}
			return last
		},
	} {
		ctx, cancel := context.WithCancelCause(within(t))
		result := make(chan error)
		go func() { result <- wait(ctx) }()
		watched(t, fs[2])
		cancel(errEarly)
		err := receive(t, result, name)
		if !errors.Is(err, errEarly) || !strings.Contains(fmt.Sprint(err), "1 of 3 are done") {
			t.Errorf("%s: %v", name, err)
		}
		unwatched(t, fs)
	}
	for range 10_000 {
		Wait(endedBy(errEarly), FirstError, fs[0])
	}
	unwatched(t, fs)
}

func TestWait(t *testing.T) {
	for _, test := range []struct {
		until   Until
		settle  []string // what comes, until the wait must be over
		done    []int
		pending []int
	}{
		{FirstCompleted, []string{"1 ok"}, []int{1}, []int{0, 2}},
		{FirstCompleted, []string{"2 error"}, []int{2}, []int{0, 1}},
		{FirstError, []string{"2 ok", "0 error"}, []int{0, 2}, []int{1}},
		{FirstError, []string{"2 ok", "0 ok", "1 ok"}, []int{0, 1, 2}, nil},
		{FirstError, []string{"2 ok", "0 ok", "1 error"}, []int{0, 1, 2}, nil},
		{AllCompleted, []string{"1 error", "2 ok", "0 error"}, []int{0, 1, 2}, nil},
	} {
		t.Run(fmt.Sprint(test.until, test.settle), func(t *testing.T) {
			checkLeaks(t)
			fs := openAll(3)
			type sets struct {
				done, pending []*Future[int]
				err           error
			}
			over := make(chan sets)
			go func() {
				var s sets
				s.done, s.pending, s.err = Wait(within(t), test.until, fs...)
				over <- s
			}()
			watched(t, fs[2]) // the last to be watched
			for _, s := range test.settle {
				select {
				case s := <-over:
					t.Fatalf("over too early: %d are done, %v", len(s.done), s.err)
				default:
				}
				var n int
				var how string
				fmt.Sscan(s, &n, &how)
				fs[n].settle(n, map[string]error{"error": errTest}[how])
			}
			s := receive(t, over, "the sets")
			if d, p := indices(fs, s.done), indices(fs, s.pending); s.err != nil || !slices.Equal(d, test.done) || !slices.Equal(p, test.pending) {
				t.Errorf("done %v, pending %v, %v; want %v and %v", d, p, s.err, test.done, test.pending)
			}
			unwatched(t, fs)
		})
	}
	if done, pending, err := Wait[int](within(t), FirstCompleted); len(done)+len(pending) != 0 || err != nil {
		t.Errorf("of none: %v, %v, %v", done, pending, err)
	}
}

func indices(all, some []*Future[int]) (list []int) {
	for _, f := range some {
		list = append(list, slices.Index(all, f))
	}
	return list
}

func TestAsCompleted(t *testing.T) {
	checkLeaks(t)
	fs := openAll(5)
	fs[4].settle(4, nil)
	order := []int{4}
	next := []int{2, 0, 3, 1}
	for f, err := range AsCompleted(within(t), fs...) {
		n := slices.Index(fs, f)
		if err != nil || n != order[len(order)-1] {
			t.Fatalf("future %d, %v; want %d", n, err, order[len(order)-1])
		}
		if len(next) > 0 { // only now the next one is done
			order, next = append(order, next[0]), next[1:]
			fs[order[len(order)-1]].settle(1, errTest)
		}
	}
	if len(order) != 5 {
		t.Errorf("%v", order)
	}
	more := append(fs, openAll(2)...)
	for range AsCompleted(within(t), more...) {
		break
	}
	unwatched(t, more)
}

// Groups are futures: they can be gathered, and cancelled with all that is in them.
func TestGroup(t *testing.T) {
	checkLeaks(t)
	fs := openAll(4)
	both := Group(Group(fs[0], fs[1]), Group(fs[2], fs[3]))
	for _, n := range []int{3, 0, 2, 1} {
		select {
		case <-both.Done():
			t.Fatal("done before its members")
		default:
		}
		fs[n].settle(n*n, nil)
	}
	got, err := both.Get(within(t))
	if want := [][]int{{0, 1}, {4, 9}}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	both.Cancel(errTest)

	more := openAll(3)
	outer := Group(Group(more[0], more[1]), Group(more[2]))
	if _, err := outer.Get(endedBy(errEarly)); !errors.Is(err, context.Canceled) {
		t.Errorf("wait in vain: %v", err)
	}
	outer.Cancel(errTest)
	if _, err := outer.Get(within(t)); err != errTest {
		t.Errorf("cancelled: %v", err)
	}
	for i, a := range GatherAll(within(t), more...) {
		if a.Err != errTest {
			t.Errorf("member %d: %v", i, a.Err)
		}
	}
	failed := openAll(2)
	g := Group(failed...)
	failed[1].settle(0, errTest)
	if _, err := g.Get(within(t)); err != errTest {
		t.Errorf("first error: %v", err)
	}
	unwatched(t, failed)
}

// One goroutine waits for a hundred thousand futures, which come from many.
func TestGatherMany(t *testing.T) {
	checkLeaks(t)
	const n = 100_000
	fs := openAll(n)
	for part := range 4 {
		go func() {
			for i := part; i < n; i += 4 {
				fs[i].settle(i, nil)
			}
		}()
	}
	got, err := Gather(within(t), fs...)
	for i, v := range got {
		if i != v {
			t.Fatalf("value %d is %d", i, v)
		}
	}
	if len(got) != n || err != nil {
		t.Errorf("%d values, %v", len(got), err)
	}
}
