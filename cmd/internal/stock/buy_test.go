package stock

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed-185a7250/multiproc/ipc"
	"github.com/seed-185a7250/multiproc/proto"
	"github.com/seed-185a7250/multiproc/supervisor"
)

// buyerEnv makes a process of this test a buyer: it takes a purchase from descriptor 3 and answers with the result.
const buyerEnv = "STOCK_TEST_BUYER"

func TestMain(m *testing.M) {
	if os.Getenv(buyerEnv) != "" {
		if err := beBuyer(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

type purchase struct {
	ID   string
	Args BuyArgs
}

func beBuyer() error {
	c, err := ipc.NewConn(os.NewFile(3, "conn"), ipc.ConnOptions{})
	if err != nil {
		return err
	}
	var p purchase
	if err := c.Recv(context.Background(), &p); err != nil {
		return err
	}
	result, err := buy(context.Background(), call{id: p.ID}, p.Args, io.Discard)
	if err != nil {
		return err
	}
	return c.Send(context.Background(), result)
}

func newLock(t *testing.T) *ipc.Lock {
	t.Helper()
	l, err := ipc.NewLock(ipc.LockOptions{Name: t.Name()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func newArgs(t *testing.T, stock int) BuyArgs {
	return BuyArgs{Stock: stock, DB: filepath.Join(t.TempDir(), "db.json"), Lock: newLock(t), MaxDelay: new(Duration)}
}

func mustBuy(t *testing.T, id string, in BuyArgs) (BuyResult, string) {
	t.Helper()
	var out bytes.Buffer
	r, err := buy(t.Context(), call{id: id}, in, &out)
	if err != nil {
		t.Fatal(err)
	}
	return r, out.String()
}

func TestBuy(t *testing.T) {
	in, pid := newArgs(t, 2), os.Getpid()
	for _, c := range []struct {
		id   string
		want BuyResult
		line string
	}{
		{"a", BuyResult{Sold: true, Number: 1, Left: 1, Seen: 2}, "a: pid %d bought ticket 1, 1 left\n"},
		{"b", BuyResult{Sold: true, Number: 2, Left: 0, Seen: 1}, "b: pid %d bought ticket 2, 0 left\n"},
		{"c", BuyResult{}, "c: pid %d found none, 0 left\n"},
		{"a", BuyResult{Sold: true, Number: 1, Again: true}, "a: pid %[1]d has ticket 1 already, bought by pid %[1]d, 0 left\n"},
	} {
		c.want.Ticket, c.want.PID = c.id, pid
		got, line := mustBuy(t, c.id, in)
		if got != c.want || line != fmt.Sprintf(c.line, pid) {
			t.Errorf("got %+v and %q; want %+v and %q", got, line, c.want, c.line)
		}
	}
}

// With nothing to sell, the file is made all the same, once, and says so.
func TestNothingInStock(t *testing.T) {
	in := newArgs(t, 0)
	for range 2 {
		if got, _ := mustBuy(t, "a", in); got.Sold {
			t.Errorf("got %+v", got)
		}
	}
	if b, err := readBook(in.DB, 7); err != nil || b.Left != 0 || b.fresh {
		t.Errorf("got %+v, %v", b, err)
	}
}

func TestBuyRefuses(t *testing.T) {
	good := newArgs(t, 1)
	noDB, noLock, negative, noBook := good, good, good, good
	noDB.DB, noLock.Lock, negative.Stock = "", nil, -1
	noBook.DB = filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(noBook.DB, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, in := range map[string]BuyArgs{
		`tickets.buy: no "db"; expected a file such as {"$scratch": "db.json"}`:              noDB,
		`tickets.buy: no "lock"; expected one such as {"$shared": "mutex"}`:                  noLock,
		`tickets.buy: stock: found -1; expected 0 or more`:                                   negative,
		`tickets.buy: ` + noBook.DB + ` is no book of tickets: unexpected end of JSON input`: noBook,
	} {
		if _, err := buy(t.Context(), call{id: "a"}, in, io.Discard); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// A buyer who is told to end while paying has not bought, and leaves the lock free.
func TestCancelWhilePaying(t *testing.T) {
	in := newArgs(t, 1)
	in.Hold = Duration(time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for { // until the buyer has the lock
			if h, ok, _ := in.Lock.TryAcquire(); !ok {
				cancel()
				return
			} else {
				h.Release()
			}
		}
	}()
	if _, err := buy(ctx, call{id: "a"}, in, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	in.Hold = 0
	if got, _ := mustBuy(t, "b", in); got.Number != 1 || got.OwnerDied {
		t.Errorf("got %+v", got)
	}
}

// What a buyer left who died between writing and renaming is gone after the next one, whether that one buys or not.
func TestLeftoverGoes(t *testing.T) {
	in := newArgs(t, 1)
	for _, id := range []string{"a", "a", "b"} {
		if err := os.WriteFile(leftover(in.DB), []byte("{half"), 0o600); err != nil {
			t.Fatal(err)
		}
		mustBuy(t, id, in)
		if files, err := os.ReadDir(filepath.Dir(in.DB)); err != nil || len(files) != 1 {
			t.Errorf("after %s: %v, %v", id, files, err)
		}
	}
}

// connPair returns our end of a connection and the file that a child inherits.
func connPair() (*ipc.Conn, *os.File, error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	ours, err := ipc.NewConn(os.NewFile(uintptr(fds[0]), "ours"), ipc.ConnOptions{})
	return ours, os.NewFile(uintptr(fds[1]), "theirs"), err
}

// attempt sends one buyer process to the counter. Killed buyers have no result.
func attempt(t *testing.T, id string, in BuyArgs, killAfter time.Duration) (BuyResult, bool) {
	ours, theirs, err := connPair()
	if err != nil {
		t.Error(err)
		return BuyResult{}, true
	}
	defer ours.Close()
	p, err := supervisor.Start(supervisor.Spec{
		Name: id, Env: append(os.Environ(), buyerEnv+"=1"), Inherit: theirs, Stderr: supervisor.Output{Tail: true},
	})
	theirs.Close()
	if err != nil {
		t.Error(err)
		return BuyResult{}, true
	}
	if killAfter > 0 {
		timer := time.AfterFunc(killAfter, func() { p.Kill() })
		defer timer.Stop()
	}
	var result BuyResult
	sent := ours.Send(t.Context(), purchase{id, in})
	received := ours.Recv(t.Context(), &result)
	exit, err := p.Join(t.Context())
	if err != nil || !exit.Success() && killAfter == 0 {
		t.Errorf("%s: %v, %v, %v, %v, %q", id, exit, err, sent, received, p.StderrTail())
		return result, true
	}
	return result, received == nil
}

// Many buyers in processes of their own, some of which are killed and come again: every ticket is sold once, to one who says so.
func TestBuyersWhoDie(t *testing.T) {
	in := newArgs(t, 10)
	in.MaxDelay, in.Hold = new(Duration(5*time.Millisecond)), Duration(2*time.Millisecond)
	results := make([]BuyResult, 20)
	var group sync.WaitGroup
	places := make(chan struct{}, 4)
	for i := range results {
		group.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			for n := range 5 {
				kill := time.Duration(0)
				if n < 4 {
					kill = time.Duration(1 + rand.Int64N(int64(60*time.Millisecond)))
				}
				if r, ok := attempt(t, fmt.Sprintf("buyer-%d", i), in, kill); ok {
					results[i] = r
					return
				}
			}
		})
	}
	group.Wait()
	checkBook(t, in, results)
}

func checkBook(t *testing.T, in BuyArgs, results []BuyResult) {
	t.Helper()
	b, err := readBook(in.DB, -1)
	if err != nil || b.Left != 0 || len(b.Sold) != in.Stock {
		t.Fatalf("got %+v, %v", b, err)
	}
	sold := 0
	for _, r := range results {
		s, ok := b.find(r.Ticket)
		if ok != r.Sold || s.Number != r.Number {
			t.Errorf("the book has %+v, the buyer %+v", s, r)
		}
		if r.Sold {
			sold++
		}
	}
	if sold != in.Stock {
		t.Errorf("%d buyers have a ticket, want %d", sold, in.Stock)
	}
	if files, err := os.ReadDir(filepath.Dir(in.DB)); err != nil || len(files) != 1 {
		t.Errorf("left: %v, %v", files, err)
	}
}

func TestSleep(t *testing.T) {
	if _, err := sleep(t.Context(), SleepArgs{For: Duration(time.Millisecond)}); err != nil {
		t.Error(err)
	}
	if _, err := sleep(t.Context(), SleepArgs{}); err == nil || !strings.HasPrefix(err.Error(), `sleep: no "for"`) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("why")
	cancel(why)
	if _, err := sleep(ctx, SleepArgs{For: Duration(time.Hour)}); err != why {
		t.Errorf("got %v", err)
	}
}

// Durations are strings with a unit, nothing else.
func TestDurations(t *testing.T) {
	for v, want := range map[any]string{
		"200ms": "", "30": `for: "30" is no stock.Duration: expected a duration such as "30s"`, "-1s": `expected a duration`, int64(30): `for: expected a string, found 30`, nil: `for: expected a string`,
	} {
		p, err := proto.Marshal(map[string]any{"for": v})
		if err != nil {
			t.Fatal(err)
		}
		var in SleepArgs
		_, err = proto.Unmarshal(p, &in, proto.Limits{})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got %v, %v; want %q", v, in, err, want)
		}
	}
}
