package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-185a7250/multiproc/ipc"
	"github.com/seed-185a7250/multiproc/proto"
)

// PITFALLS that have no better place. (The kill matrix is 1, 2, 10 and 13; TestPoolEndings 9; TestBrokenConnection
// and its neighbours 5 and 10.)

// PITFALLS 1 and 2: a death is the matter of one ticket, and says whose. The others do not notice.
func TestDeathHurtsOneTicket(t *testing.T) {
	p := newTestPool(t, testOptions(3))
	var futures []*Future[string]
	var conns []*ipc.Conn
	var pids []int
	for range 3 {
		f, c, pid := meet(t, p)
		futures, conns, pids = append(futures, f), append(conns, c), append(pids, pid)
	}
	waiting := submit(t, taskSquare, p, 12)
	syscall.Kill(pids[1], syscall.SIGKILL)
	died, ok := errors.AsType[*WorkerDiedError](result(t, futures[1]).Err)
	if !ok || died.PID != pids[1] || died.Worker < 1 || died.Worker > 3 || died.Exit.Status() != -9 {
		t.Errorf("%+v", died)
	}
	if got, err := waiting.Get(within(t)); got != 144 || err != nil {
		t.Errorf("the ticket behind it: %d, %v", got, err)
	}
	for _, i := range []int{0, 2} {
		if err := conns[i].Send(within(t), "go"); err != nil {
			t.Fatal(err)
		}
		if r := result(t, futures[i]); r.Outcome != OutcomeOK || r.PID != pids[i] || r.Attempts != 1 {
			t.Errorf("%+v", r)
		}
	}
}

type oddError struct {
	c     chan int
	inner error
	how   string
}

func (e *oddError) Error() string {
	if e.how == "panics" {
		panic("in Error")
	}
	return e.how
}
func (e *oddError) Unwrap() error { return e.inner }

var taskOdd = NewTask("test.odd", func(_ context.Context, how string) (int, error) {
	switch how {
	case "nil pointer":
		return 0, (*oddError)(nil)
	case "long":
		return 0, errors.New(strings.Repeat("long ", 1<<20))
	case "no text":
		return 0, errors.New("")
	case "no UTF-8":
		return 0, errors.New("a\xff\x00b")
	case "loop":
		e := &oddError{how: "loop"}
		e.inner = fmt.Errorf("%w", &oddError{how: "x"})
		return 0, errors.Join(e, e)
	case "panic with nil":
		panic(nil)
	case "panic with an odd value":
		panic(&oddError{how: "panics"})
	}
	return 0, &oddError{c: make(chan int), how: how}
})

// PITFALLS 7: an error travels as data, whatever type it has over there; one that cannot even say its text is a panic.
func TestOddErrors(t *testing.T) {
	p := newTestPool(t, testOptions(1))
	for how, want := range map[string]Outcome{
		"plain": OutcomeError, "panics": OutcomePanic, "nil pointer": OutcomePanic, "long": OutcomeError, "no text": OutcomeError,
		"no UTF-8": OutcomeError, "loop": OutcomeError, "panic with nil": OutcomePanic, "panic with an odd value": OutcomePanic,
	} {
		r := result(t, submit(t, taskOdd, p, how))
		if _, ok := errors.AsType[*proto.Fault](r.Err); r.Outcome != want || !ok || len(r.Err.Error()) > proto.MaxFaultText {
			t.Errorf("%s: %s, %T %.100v; want %s", how, r.Outcome, r.Err, r.Err, want)
		}
	}
}

var taskTree = NewTask("test.tree", func(ctx context.Context, file string) (int, error) {
	for _, script := range []string{
		"sleep 300 & sleep 300",                              // a command with a child (38)
		"setsid sh -c 'sleep 300; :' & sleep 300",            // … in a session of its own (13)
		"(setsid sh -c 'setsid sleep 300 & sleep 300' &); :", // … whose parent is gone
		"trap '' TERM HUP INT; while :; do sleep 300; done",  // deaf
		"kill -STOP $$",
	} {
		s := sh(script)
		s.Command = true
		if _, err := Start(s); err != nil {
			return 0, err
		}
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		return 0, err
	}
	select {}
})

func init() {
	programs["tree"] = func(ctx context.Context, dir string) error {
		pool, err := NewPool(ctx, PoolOptions{Workers: 3})
		if err != nil {
			return err
		}
		for n := range 2 { // and one worker is idle
			if _, err := taskTree.Submit(ctx, pool, fmt.Sprint(dir, "/", n)); err != nil {
				return err
			}
		}
		select {}
	}
	programs["interrupt"] = func(ctx context.Context, dir string) error {
		heard := make(chan os.Signal, 10)
		signal.Notify(heard, syscall.SIGINT)
		pool, err := NewPool(ctx, PoolOptions{Workers: 1})
		if err != nil {
			return err
		}
		if _, err := taskCountSIGINT.Call(ctx, pool, struct{}{}); err != nil {
			return err
		}
		if err := os.WriteFile(dir+"/running", nil, 0o600); err != nil {
			return err
		}
		<-heard
		n, err := taskCountSIGINT.Call(ctx, pool, struct{}{})
		fmt.Println("the worker has heard", n, "and the master", len(heard), "more")
		return err
	}
}

var sigints = make(chan os.Signal, 10)

var taskCountSIGINT = NewTask("test.sigint", func(context.Context, struct{}) (int, error) {
	signal.Notify(sigints, syscall.SIGINT)
	return len(sigints), nil
})

// PITFALLS 12: nobody survives the master, however it dies, and whatever a task has started: not the child of a
// command (38), not a session of its own (13), not who is deaf or stopped.
func TestKilledMasterLeavesNobody(t *testing.T) {
	checkLeaks(t)
	for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGSEGV} {
		runProgram(t, "tree", func(dir string, p *Process) {
			eventually(t, func() bool { return exists(dir+"/0") && exists(dir+"/1") }, "the trees stand")
			p.Signal(sig)
		})
	}
}

// PITFALLS 15: Ctrl-C goes to the foreground group. That is the master alone, and it hears it once.
func TestInterruptReachesTheMasterOnly(t *testing.T) {
	checkLeaks(t)
	r := runProgram(t, "interrupt", func(dir string, p *Process) {
		eventually(t, func() bool { return exists(dir + "/running") }, "the program runs")
		p.Interrupt()
	})
	if want := "the worker has heard 0 and the master 0 more\n"; r.out != want || !r.exit.Success() {
		t.Errorf("%q, %v %q", r.out, r.exit, r.err)
	}
}

// PITFALLS 24: a task may print what it likes; the wire is elsewhere.
func TestPrintedFramesAreText(t *testing.T) {
	var out strings.Builder
	o := testOptions(1)
	o.Stdout = &out
	p := newTestPool(t, o)
	answer := proto.AppendResponse(nil, 1, nil, []byte{7})
	text := string(proto.AppendHeader(nil, proto.Header{Length: len(answer)})) + string(answer) + "{\"jsonrpc\":\"2.0\"}\x00\xff"
	if n, err := taskPrint.Call(within(t), p, text); n != len(text) || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if out.String() != text+"\n" {
		t.Errorf("%q", out.String())
	}
}

// PITFALLS 35: exec hands descriptor 3 over in blocking mode; a worker's deadlines must work all the same.
var impatient = fakeWorker("impatient", func(f *fake) {
	f.greet()
	f.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	_, err := f.ReadFrame()
	check(errors.Is(err, os.ErrDeadlineExceeded), "%v", err)
	waitAtSide(f.args[0])
	f.SetReadDeadline(time.Time{})
	f.serve(f.echo)
})

func TestDeadlineOnDescriptor3(t *testing.T) {
	s := newSide(t)
	p := newTestPool(t, fakeOptions(1, impatient, s.path))
	_, goOn := s.next(t)
	goOn()
	if got, err := submit(t, echoTask, p, 8).Get(within(t)); got != 8 || err != nil {
		t.Errorf("%d, %v", got, err)
	}
}

// PITFALLS 40: what wait reports as the peak memory of a child includes the parent's own pages before exec. The page
// of the worker has its own.
func TestPeakMemoryIsTheWorkers(t *testing.T) {
	large := make([]byte, 300<<20)
	for i := 0; i < len(large); i += 4096 {
		large[i] = 1
	}
	p := newTestPool(t, testOptions(1))
	died, ok := errors.AsType[*WorkerDiedError](result(t, submit(t, taskEnd, p, "kill")).Err)
	if !ok || died.PeakMemory == 0 || died.PeakMemory > 150<<20 {
		t.Errorf("a worker of a master of 300 MiB: %+v", died)
	}
	if peak := p.Status()[0].Peak; peak > 150<<20 {
		t.Errorf("status: peak of %d bytes", peak)
	}
	if large[4096] == 0 {
		t.Error("large") // and so it lives until here
	}
}
