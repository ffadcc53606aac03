package supervisor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/seed-185a7250/multiproc/ipc"
	"github.com/seed-185a7250/multiproc/proto"
)

// The kill matrix: a worker dies at every stage of its life, and each row names what becomes of its ticket
// with one attempt, and with several. What holds in every row is checked by matrix.settled and newTestPool: one
// result for each ticket, executed as often as the row says, the place filled again, nothing left.

// A trial is the argument of a ticket in the matrix.
type trial struct {
	How  string
	Conn *ipc.Conn  // where it tells who is at the point
	Runs *ipc.Block // word 0 counts executions
	Lock *ipc.Lock
}

// In its first attempt it goes to the point and stays there, unless its context ends; in the second it succeeds.
var taskTrial = NewTask("test.trial", func(ctx context.Context, tr trial) (string, error) {
	tr.Runs.Word(0).Add(1)
	if TicketFrom(ctx).Attempt > 1 {
		return secondTrial(ctx, tr)
	}
	met := []int{os.Getpid()}
	switch tr.How {
	case "wait", "block":
	case "lock":
		if _, err := tr.Lock.Acquire(ctx); err != nil {
			return "", err
		}
	case "deaf":
		signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	case "grandchild", "leave": // in a session of its own, and it holds our stderr
		cmd := exec.Command("sh", "-c", "setsid sleep 300 >/dev/null & echo $!")
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return "", err
		}
		pid, err := strconv.Atoi(string(bytes.TrimSpace(out)))
		if err != nil {
			return "", err
		}
		if !poll(func() bool { s, ok := readStat(pid); return ok && s.session == pid }) {
			return "", errors.New("the grandchild has no session of its own")
		}
		met = append(met, pid)
	default:
		return "done", nil
	}
	if err := tr.Conn.Send(ctx, met); err != nil {
		return "", err
	}
	switch tr.How {
	case "wait":
		<-ctx.Done()
		return "", ctx.Err()
	case "leave":
		var word string
		return "left", tr.Conn.Recv(ctx, &word)
	}
	select {}
})

func secondTrial(ctx context.Context, tr trial) (string, error) {
	if tr.How != "lock" {
		return "again", nil
	}
	h, err := tr.Lock.Acquire(ctx)
	if err != nil {
		return "", err
	}
	if h.OwnerDied() {
		return "owner died", h.Release()
	}
	return "again", h.Release()
}

// A fake that begins its answer of 8 MiB, says so when half of it is in the socket or beyond, and stays there.
var halfAnswer = fakeWorker("half", func(f *fake) {
	f.greet()
	f.serve(func(r fakeRun) {
		var tr trial
		r.into(&tr)
		tr.Runs.Word(0).Add(1)
		if r.Attempt > 1 {
			f.answer(r.id, "again")
			return
		}
		body := f.response(r.id, make([]byte, 8<<20))
		frame := append(proto.AppendHeader(nil, proto.Header{Length: len(body)}), body...)
		f.raw.Write(frame[:len(frame)/2])
		tr.Conn.Send(context.Background(), []int{os.Getpid()})
		select {}
	})
})

// A fake that answers, whole, and kills itself at once.
var lastAnswer = fakeWorker("last", func(f *fake) {
	f.greet()
	f.serve(func(r fakeRun) {
		var tr trial
		r.into(&tr)
		tr.Runs.Word(0).Add(1)
		tr.Conn.Send(context.Background(), []int{os.Getpid()})
		f.answer(r.id, bytes.Repeat([]byte("x"), 8<<20))
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	})
})

// A fake that waits at the side before it says hello, and is a good worker then.
var lateWorker = fakeWorker("late", func(f *fake) {
	waitAtSide(f.args[0])
	f.greet()
	f.serve(func(r fakeRun) {
		var tr trial
		r.into(&tr)
		tr.Runs.Word(0).Add(1)
		if r.Attempt == 1 && tr.How == "wait" {
			tr.Conn.Send(context.Background(), []int{os.Getpid()})
			select {}
		}
		f.answer(r.id, "again")
	})
})

// A matrix is one cell: one row, with one number of attempts, for a number of rounds.
type matrix struct {
	*testing.T
	pool     *Pool
	attempts int
	timeout  time.Duration
	how      string
	lock     *ipc.Lock
	runs     *ipc.Block

	future *Future[any]
	conn   *ipc.Conn
	side   *side
}

// submit submits a trial.
func (m *matrix) submit(how string) {
	m.Helper()
	ours, theirs, err := ipc.Pipe()
	if err != nil {
		m.Fatal(err)
	}
	m.conn = ours
	m.runs.Word(0).Store(0)
	task := &Task[trial, any]{name: taskTrial.Name()}
	m.future = submit(m.T, task, m.pool, trial{how, theirs, m.runs, m.lock}, Ticket{Attempts: m.attempts, Timeout: m.timeout})
	theirs.Close()
}

// begin submits a trial and returns who is at the point. Beside a heavy load the time-out of a row may be over before
// anybody is there: then it is submitted again.
func (m *matrix) begin() []procStat {
	m.Helper()
	for range 20 {
		m.submit(m.how)
		ctx, over := context.WithCancel(within(m.T))
		future := m.future
		watched := make(chan bool)
		go func() {
			defer close(watched)
			select {
			case <-future.Done():
				over()
			case <-ctx.Done():
			}
		}()
		var met []int
		err := m.conn.Recv(ctx, &met)
		over()
		<-watched
		var list []procStat
		for _, pid := range met {
			if s, ok := readStat(pid); ok {
				list = append(list, s)
			}
		}
		if err == nil && len(list) == len(met) {
			return list
		}
		if m.timeout == 0 {
			m.Fatalf("waiting for the task to get to the point: %v; %v of %v", err, list, met)
		}
		m.end()
	}
	m.Fatal("the task does not get to the point in time")
	return nil
}

// end waits for the result.
func (m *matrix) end() Result {
	m.Helper()
	r := result(m.T, m.future)
	m.conn.Close()
	return r
}

// settled waits until the pool is as before: every place idle, filled by a living child, and no other child.
func (m *matrix) settled() {
	m.Helper()
	eventually(m, func() bool {
		for _, s := range m.pool.Status() {
			stat, ok := readStat(s.PID)
			if s.State != PlaceIdle || s.Ticket != "" || !ok || stat.ppid != os.Getpid() || stat.state == 'Z' {
				return false
			}
		}
		return len(ownChildren()) == len(m.pool.places)
	}, "places idle: %+v; children: %s", m.pool.Status(), describe(ownChildren()))
}

func kill(s procStat, sig syscall.Signal) { syscall.Kill(s.pid, sig) }

// signalIdle signals all processes of the pool, none of which has begun anything.
func (m *matrix) signalIdle(sig syscall.Signal) {
	for _, s := range ownChildren() {
		kill(s, sig)
	}
}

// frozen waits until every thread of a process that was sent SIGSTOP has stopped; or it is dead.
func (m *matrix) frozen(p procStat) {
	m.Helper()
	allStopped(m, p.pid)
}

func allStopped(t testing.TB, pid int) {
	t.Helper()
	eventually(t, func() bool {
		threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		for _, path := range threads {
			b, _ := os.ReadFile(path)
			if s, ok := parseStat(b); ok && s.state != 'T' {
				return false
			}
		}
		return true
	}, "process %d stopped", pid)
}

// freeze stops a process.
func freeze(t testing.TB, pid int) {
	t.Helper()
	syscall.Kill(pid, syscall.SIGSTOP)
	allStopped(t, pid)
}

// gone says what becomes of a grandchild in a session of its own when its worker is killed: a subreaper finds
// it, another master does not.
func (m *matrix) gone(grandchild procStat) {
	m.Helper()
	switch {
	case isSubreaper.Load():
		if alive(grandchild) {
			m.Error("the grandchild has outlived its worker")
		}
	case !alive(grandchild):
		m.Error("the grandchild did not live: nothing is proved")
	default:
		grandchild.kill()
	}
}

// waiter acquires the lock, tells whether the owner before died, and releases it. It returns when the waiting has
// begun.
func (m *matrix) waiter() <-chan bool {
	m.Helper()
	told := make(chan bool, 1)
	go func() {
		h, err := m.lock.Acquire(within(m.T))
		if err != nil {
			m.Error(err)
		}
		if err := h.Release(); err != nil {
			m.Error(err)
		}
		told <- h.OwnerDied()
	}()
	eventually(m, func() bool { return m.lock.Waiting() > 0 || len(told) > 0 }, "waiting for the lock")
	return told
}

// rounds is how often each cell is run.
func rounds(few int) int {
	if n, err := strconv.Atoi(os.Getenv("MULTIPROC_ROUNDS")); err == nil {
		return n
	}
	return few
}

const subreaperEnv = "MULTIPROC_TEST_SUBREAPER"

func TestMatrix(t *testing.T) {
	for _, row := range matrixRows {
		for _, attempts := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s, attempts %d", row.name, attempts), func(t *testing.T) {
				want := row.once
				if attempts > 1 {
					want = row.more
				}
				m := newMatrix(t, row.fake, attempts)
				m.how, m.timeout = row.how, row.timeout
				few := 3
				if row.timeout > 0 {
					few = 1 // these wait for it
				}
				for range rounds(few) {
					m.settled()
					r := row.do(m)
					m.check(r, want)
				}
				m.settled()
			})
		}
	}
}

// A master that is a subreaper is one for ever, so the same again in a process of its own.
func TestMatrixOfSubreaper(t *testing.T) {
	if os.Getenv(subreaperEnv) != "" {
		return
	}
	checkLeaks(t)
	out := Capture{}
	p := begin(t, Spec{
		Name: "matrix", Args: []string{os.Args[0], "-test.run=^TestMatrix$", "-test.count=1"},
		Env: append(os.Environ(), subreaperEnv+"=1", fmt.Sprint("MULTIPROC_ROUNDS=", rounds(1))), Stdout: Output{Capture: &out}, Stderr: Output{Tail: true},
	})
	<-p.Done() // every wait of its has its own deadline
	if exit := ended(t, p); !exit.Success() {
		t.Errorf("%v\n%s\n%s", exit, out.Bytes(), quote(p.StderrTail()))
	}
}

func newMatrix(t *testing.T, fake string, attempts int) *matrix {
	t.Helper()
	m := &matrix{T: t, attempts: attempts}
	var err error
	if m.lock, err = ipc.NewLock(ipc.LockOptions{}); err != nil {
		t.Fatal(err)
	}
	if m.runs, err = ipc.NewBlock(1); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.lock.Close(); m.runs.Close() })
	o := testOptions(2)
	if fake != "" {
		m.side = newSide(t)
		o = fakeOptions(2, fake, m.side.path)
		o.Workers = 1 // the program at the side is the one that is meant
	}
	o.Grace = 100 * time.Millisecond // more would only make the test slow
	o.Subreaper = os.Getenv(subreaperEnv) != ""
	if fake == lateWorker {
		checkLeaks(t)
		m.pool = m.startLate(o)
		return m
	}
	m.pool = newTestPool(t, o)
	return m
}

// startLate starts a pool whose first process, and whose second, is killed before it says hello.
func (m *matrix) startLate(o PoolOptions) *Pool {
	m.Helper()
	o.restart = restartPolicy{intensity: 5, period: time.Millisecond, min: time.Millisecond, max: time.Millisecond}
	type started struct {
		p   *Pool
		err error
	}
	c := make(chan started, 1)
	go func() {
		p, err := NewPool(context.Background(), o)
		c <- started{p, err}
	}()
	for range 2 {
		pid, _ := m.side.next(m)
		kill(mustStat(m, pid), syscall.SIGKILL)
	}
	_, goOn := m.side.next(m)
	goOn()
	s := receive(m, c, "the pool")
	if s.err != nil {
		m.Fatal(s.err)
	}
	m.Cleanup(func() { s.p.Terminate(); s.p.Join(within(m.T)); checkPool(m.T, s.p) })
	return s.p
}

// check compares what became of a ticket.
func (m *matrix) check(r Result, want outcome) {
	m.Helper()
	runs := m.runs.Word(0).Load()
	same := r.Attempts == want.attempts && runs == want.runs
	if m.timeout > 0 { // beside a heavy load the second attempt may run into it as well
		same = r.Attempts >= want.attempts && runs >= want.runs && runs <= uint64(r.Attempts)
	}
	if r.Outcome != want.Outcome || !same {
		m.Errorf("%s after %d attempts and %d executions (%v), want %s, %d, %d",
			r.Outcome, r.Attempts, runs, r.Err, want.Outcome, want.attempts, want.runs)
	}
	died, _ := errors.AsType[*WorkerDiedError](r.Err)
	if status := 0; died != nil || want.status != 0 {
		if died != nil {
			status = died.Exit.Status()
		}
		if status != want.status && !(want.status == bySignal && (status == -15 || status == -9)) {
			m.Errorf("the worker's exit is %d, want %d: %v", status, want.status, r.Err)
		}
	}
	if want.value != nil {
		var got any
		if _, err := proto.Unmarshal(r.Value, &got, proto.Limits{}); err != nil || got != want.value {
			m.Errorf("value %v, %v; want %v", got, err, want.value)
		}
	}
}
