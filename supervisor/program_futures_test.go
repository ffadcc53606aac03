package supervisor_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/seed-185a7250/multiproc/ipc"
	"github.com/seed-185a7250/multiproc/supervisor"
)

// The programs about coroutines, as processes.

type gated struct {
	Number int
	Gate   *ipc.Event
	Fails  bool
}

// pass ends when its gate is opened.
var pass = supervisor.NewTask("program.pass", func(ctx context.Context, in gated) (int, error) {
	err := in.Gate.Wait(ctx)
	if in.Fails {
		err = fmt.Errorf("number %d fails", in.Number)
	}
	return in.Number, err
})

// passers are n of those, each in a process of its own; open ends one.
func passers(t *testing.T, n int, fails ...int) (ctx context.Context, fs []*supervisor.Future[int], open func(k int)) {
	t.Helper()
	ctx, pool := program(t, n)
	var gates []*ipc.Event
	for k := range n {
		gates = append(gates, must[*ipc.Event](t)(ipc.NewEvent(fmt.Sprint("gate ", k))))
		t.Cleanup(func() { gates[k].Close() })
		fs = append(fs, must[*supervisor.Future[int]](t)(pass.Submit(ctx, pool, gated{k, gates[k], slices.Contains(fails, k)})))
	}
	open = func(k int) {
		t.Helper()
		if err := gates[k].Set(); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { // before the pool is closed
		for k := range gates {
			open(k)
		}
	})
	return ctx, fs, open
}

// openInOrder opens one gate after the other, each when the one before is done.
func openInOrder(t *testing.T, ctx context.Context, fs []*supervisor.Future[int], open func(int), order ...int) {
	t.Helper()
	for _, k := range order {
		open(k)
		if _, _, err := supervisor.Wait(ctx, supervisor.AllCompleted, fs[k]); err != nil {
			t.Fatal(err)
		}
	}
}

// A1: gather gives the results in the order of the arguments, whoever is done first; groups of gathers too.
func TestGatherGroups(t *testing.T) {
	ctx, fs, open := passers(t, 5)
	first, second := supervisor.Group(fs[0], fs[1], fs[2]), supervisor.Group(fs[4], fs[3])
	all := supervisor.Group(first, second)
	openInOrder(t, ctx, fs, open, 3, 1, 4)
	if got, err := second.Get(ctx); err != nil || !slices.Equal(got, []int{4, 3}) {
		t.Errorf("second group: %v, %v", got, err)
	}
	select {
	case <-all.Done():
		t.Error("all are done while two are waiting")
	default:
	}
	openInOrder(t, ctx, fs, open, 2, 0)
	got := must[[][]int](t)(all.Get(ctx))
	if want := [][]int{{0, 1, 2}, {4, 3}}; !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// A1: the first error ends a gather, and the others go on, unless somebody cancels them.
func TestGatherFails(t *testing.T) {
	ctx, fs, open := passers(t, 4, 2)
	open(2)
	if _, err := supervisor.Gather(ctx, fs...); err == nil || err.Error() != "number 2 fails" {
		t.Errorf("gather: %v", err)
	}
	openInOrder(t, ctx, fs, open, 1)
	cause := errors.New("one has failed")
	supervisor.CancelAll(cause, fs...)
	for n, a := range supervisor.GatherAll(ctx, fs...) {
		switch {
		case n == 1 && (a.Value != 1 || a.Err != nil),
			n == 2 && fmt.Sprint(a.Err) != "number 2 fails",
			n != 1 && n != 2 && !errors.Is(a.Err, cause):
			t.Errorf("number %d: %+v", n, a)
		}
	}
}

// A2: wait for the first, for the first that fails, for all; who is done, and who is not.
func TestWaitSets(t *testing.T) {
	ctx, fs, open := passers(t, 4, 1)
	check := func(until supervisor.Until, wantDone, wantPending []*supervisor.Future[int]) {
		t.Helper()
		done, pending, err := supervisor.Wait(ctx, until, fs...)
		if err != nil || !slices.Equal(done, wantDone) || !slices.Equal(pending, wantPending) {
			t.Errorf("%d done, %d pending, %v; want %d and %d", len(done), len(pending), err, len(wantDone), len(wantPending))
		}
	}
	open(2)
	check(supervisor.FirstCompleted, fs[2:3], []*supervisor.Future[int]{fs[0], fs[1], fs[3]})
	openInOrder(t, ctx, fs, open, 3, 1)
	check(supervisor.FirstError, fs[1:], fs[:1])
	open(0)
	check(supervisor.AllCompleted, fs, nil)
}

// A3: they come in the order in which they are done.
func TestAsTheyComplete(t *testing.T) {
	ctx, fs, open := passers(t, 4)
	order := []int{2, 0, 3, 1}
	var got []int
	open(order[0])
	for f, err := range supervisor.AsCompleted(ctx, fs...) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, must[int](t)(f.Get(ctx)))
		if len(got) < len(order) {
			open(order[len(got)])
		}
	}
	if !slices.Equal(got, order) {
		t.Errorf("%v, want %v", got, order)
	}
}

type fed struct {
	Number int
	From   *ipc.Conn
	Log    *ipc.Queue[string]
}

// eat takes an item at a time, and asks for the next by saying that it had the last.
var eat = supervisor.NewTask("program.eat", func(ctx context.Context, in fed) (items []int, err error) {
	defer in.From.Close()
	for {
		var item int
		if err := in.From.Recv(ctx, &item); err == io.EOF {
			return items, nil
		} else if err != nil {
			return items, err
		}
		items = append(items, item)
		if err := errors.Join(in.Log.Put(ctx, fmt.Sprintf("%d ate %d", in.Number, item)), in.From.Send(ctx, item)); err != nil {
			return items, err
		}
	}
})

// feed yields items one by one to all, and goes on when all have had it.
var feed = supervisor.NewTask("program.feed", func(ctx context.Context, in struct {
	To    []*ipc.Conn
	Items int
}) (struct{}, error) {
	for item := range in.Items {
		for _, c := range in.To {
			if err := c.Send(ctx, item); err != nil {
				return struct{}{}, err
			}
		}
		for _, c := range in.To {
			if err := c.Recv(ctx, new(int)); err != nil {
				return struct{}{}, err
			}
		}
	}
	for _, c := range in.To {
		c.Close()
	}
	return struct{}{}, nil
})

// A6: one producer feeds two consumers step by step: each has every item, and neither is ever ahead of the other.
func TestOneFeedsTwo(t *testing.T) {
	ctx, pool := program(t, 3)
	log := must[*ipc.Queue[string]](t)(ipc.NewQueue[string](ipc.QueueOptions{Name: "log"}))
	defer log.Close()
	var to []*ipc.Conn
	var eaters []*supervisor.Future[[]int]
	for n := range 2 {
		feeder, eater, err := ipc.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		eaters = append(eaters, must[*supervisor.Future[[]int]](t)(eat.Submit(ctx, pool, fed{n, eater, log})))
		eater.Close()
		to = append(to, feeder)
	}
	must[struct{}](t)(feed.Call(ctx, pool, struct {
		To    []*ipc.Conn
		Items int
	}{to, 5}))
	for _, c := range to {
		c.Close()
	}
	for n, items := range must[[][]int](t)(supervisor.Gather(ctx, eaters...)) {
		if !slices.Equal(items, []int{0, 1, 2, 3, 4}) {
			t.Errorf("consumer %d had %v", n, items)
		}
	}
	said := must[[]string](t)(log.GetUpTo(ctx, 100))
	for step := range 5 {
		pair := said[2*step : 2*step+2]
		if slices.Sort(pair); pair[0] != fmt.Sprint("0 ate ", step) || pair[1] != fmt.Sprint("1 ate ", step) {
			t.Errorf("step %d: %q", step, pair)
		}
	}
}

// download tells how many bytes are behind a URL.
var download = supervisor.NewTask("program.download", func(ctx context.Context, url string) (int64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("%s: %s", url, resp.Status)
	}
	return io.Copy(io.Discard, resp.Body)
})

// A7: four downloads run at once: the server answers none of them before all are there.
func TestDownloads(t *testing.T) {
	ctx, pool := program(t, 4)
	arrived, all := make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/missing" {
			http.NotFound(w, r)
			return
		}
		select {
		case arrived <- struct{}{}:
		case <-ctx.Done():
		}
		select {
		case <-all:
		case <-ctx.Done():
		}
		var size int
		fmt.Sscanf(r.URL.Path, "/%d", &size)
		io.WriteString(w, strings.Repeat("x", size))
	}))
	defer server.Close()
	sizes := []int64{0, 1 << 20, 5, 12345}
	var fs []*supervisor.Future[int64]
	for _, size := range sizes {
		fs = append(fs, must[*supervisor.Future[int64]](t)(download.Submit(ctx, pool, fmt.Sprintf("%s/%d", server.URL, size))))
	}
	for n := range sizes {
		select {
		case <-arrived:
		case <-ctx.Done():
			t.Fatalf("%d downloads at once", n)
		}
	}
	close(all)
	if got := must[[]int64](t)(supervisor.Gather(ctx, fs...)); !slices.Equal(got, sizes) {
		t.Errorf("%v bytes, want %v", got, sizes)
	}
	if _, err := download.Call(ctx, pool, server.URL+"/missing"); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("what is not there: %v", err)
	}
}

type coroutine struct {
	Says  []int
	First bool
	Other *ipc.Conn
	Log   *ipc.Queue[int]
}

// speak says something and switches to the other, which says something and switches back.
var speak = supervisor.NewTask("program.speak", func(ctx context.Context, in coroutine) (struct{}, error) {
	defer in.Other.Close()
	var turn struct{}
	for n, number := range in.Says {
		if n > 0 || !in.First {
			if err := in.Other.Recv(ctx, &turn); err != nil {
				return turn, err
			}
		}
		if err := errors.Join(in.Log.Put(ctx, number), in.Other.Send(ctx, turn)); err != nil {
			return turn, err
		}
	}
	if in.First { // the last switch is to nobody
		return turn, in.Other.Recv(ctx, &turn)
	}
	return turn, nil
})

// A9: two coroutines that switch by hand.
func TestSwitchByHand(t *testing.T) {
	ctx, pool := program(t, 2)
	one, two, err := ipc.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	log := must[*ipc.Queue[int]](t)(ipc.NewQueue[int](ipc.QueueOptions{Name: "log"}))
	defer log.Close()
	first := must[*supervisor.Future[struct{}]](t)(speak.Submit(ctx, pool, coroutine{[]int{12, 34}, true, one, log}))
	second := must[*supervisor.Future[struct{}]](t)(speak.Submit(ctx, pool, coroutine{[]int{56, 78}, false, two, log}))
	one.Close()
	two.Close()
	must[[]struct{}](t)(supervisor.Gather(ctx, first, second))
	if said := must[[]int](t)(log.GetUpTo(ctx, 10)); !slices.Equal(said, []int{12, 56, 34, 78}) {
		t.Errorf("said %v", said)
	}
}
