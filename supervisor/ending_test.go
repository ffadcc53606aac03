package supervisor

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"github.com/seed-185a7250/multiproc/ipc"
)

// logBuffer is a log that a test can read at any time.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logBuffer) logger() hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Output: l, Level: hclog.Trace, DisableTime: true})
}

// Waits for the end of its context and then returns much.
var taskHeeds = NewTask("test.heeds", func(ctx context.Context, m meeting) ([]byte, error) {
	if err := m.Conn.Send(ctx, os.Getpid()); err != nil {
		return nil, err
	}
	<-ctx.Done()
	return make([]byte, 8<<20), nil
})

// A worker that is sent SIGTERM ends the context of its task, and dies of the signal when that is answered: the
// whole answer counts.
func TestSignalFromOutside(t *testing.T) {
	log := &logBuffer{}
	o := testOptions(1)
	o.Logger = log.logger()
	o.Grace = patience / 2
	p := newTestPool(t, o)
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGTERM, syscall.SIGINT} {
		ours, theirs, err := ipc.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		f := submit(t, taskHeeds, p, meeting{theirs})
		theirs.Close()
		pid := metPID(t, ours)
		ours.Close()
		syscall.Kill(pid, sig)
		if got, err := f.Get(within(t)); len(got) != 8<<20 || err != nil {
			t.Errorf("%v: %d bytes, %v", sig, len(got), err)
		}
		want := fmt.Sprintf("worker died: place=1 pid=%d exit=\"signal: %v\"", pid, sig)
		eventually(t, func() bool { return strings.Contains(log.String(), want) }, "%q in the log:\n%s", want, log)
	}
}

// signal signals the process of a place, if it has one that is ready. (By its handle: the number in a status may be
// nobody's by now, or 0, and kill(2) takes that for the group of the caller.)
func (p *Pool) signal(place int, sig syscall.Signal) bool {
	pid := p.Status()[place].PID
	for _, c := range ActiveChildren() {
		if c.PID() == pid {
			return c.Signal(sig) == nil
		}
	}
	return false
}

// A ticket that meets a worker which is being ended by somebody else is not hurt.
func TestTicketMeetsEndingWorker(t *testing.T) {
	p := newTestPool(t, testOptions(1))
	for n := range 100 {
		p.signal(0, syscall.SIGTERM)
		f := submit(t, taskSquare, p, n)
		if r := result(t, f); r.Outcome != OutcomeOK && r.Outcome != OutcomeSignal {
			t.Fatalf("ticket %d: %+v", n, r)
		}
	}
}

// Whether a worker's output can be written is not its affair (SEMANTICS 11).
var taskBrokenOutput = NewTask("test.broken", func(context.Context, struct{}) (string, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return "", err
	}
	r.Close()
	for fd := 1; fd <= 2; fd++ {
		if err := unix.Dup3(int(w.Fd()), fd, 0); err != nil {
			return "", err
		}
	}
	_, err = fmt.Println("nobody reads this")
	_, err2 := fmt.Fprintln(os.Stderr, "nor this")
	return fmt.Sprint(err, "; ", err2), nil
})

func TestBrokenOutput(t *testing.T) {
	p := newTestPool(t, testOptions(1))
	got, err := taskBrokenOutput.Call(within(t), p, struct{}{})
	if err != nil || strings.Count(got, "broken pipe") != 2 {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := taskSquare.Call(within(t), p, 3); got != 9 || err != nil || p.Status()[0].Started != 1 {
		t.Errorf("%d, %v, %d processes", got, err, p.Status()[0].Started)
	}
}

// A command of a task dies of SIGPIPE as anywhere, though its worker does not.
func TestCommandsMayDieOfSIGPIPE(t *testing.T) {
	p := newTestPool(t, testOptions(1))
	if got, err := taskIgnored.Call(within(t), p, struct{}{}); err != nil || strings.Trim(got, "0\n") != "" {
		t.Errorf("signals that a command finds ignored: %q, %v", got, err)
	}
}

var taskIgnored = NewTask("test.ignored", func(ctx context.Context, _ struct{}) (string, error) {
	var out Capture
	p, err := Start(Spec{Path: "sed", Args: []string{"sed", "-n", "s/SigIgn:\\s*//p", "/proc/self/status"}, Command: true, Stdout: Output{Capture: &out}})
	if err != nil {
		return "", err
	}
	_, err = p.Join(ctx)
	return string(out.Bytes()), err
})

// A standard output that takes nothing holds up those who print, and no one who ends the pool.
func TestBlockedOutputDoesNotBlockTheEnd(t *testing.T) {
	for _, end := range []func(*Pool){(*Pool).Terminate, (*Pool).Kill} {
		entered, blocked := make(chan bool, 1), make(chan bool)
		o := testOptions(1)
		o.Grace = 100 * time.Millisecond
		o.Stdout = writerFunc(func(b []byte) (int, error) {
			select {
			case entered <- true:
			default:
			}
			<-blocked
			return len(b), nil
		})
		checkLeaks(t)
		p, err := NewPool(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		f := submit(t, taskPrint, p, strings.Repeat("line\n", 100_000))
		receive(t, entered, "a line that is not taken")
		end(p)
		if r := result(t, f); r.Outcome != OutcomeCancelled {
			t.Errorf("%+v", r)
		}
		if err := p.Join(within(t)); err != nil {
			t.Error(err)
		}
		close(blocked)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// What the master ignores, its workers find ignored. In a job that a shell runs in the background that is SIGINT, and
// then it stays so. But they end by SIGTERM in any case (the runtime takes that for itself, ignored or not).
var ignoringHelper = helper("ignoring", func([]string) {
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	p, err := NewPool(context.Background(), testOptions(1))
	check(err == nil, "%v", err)
	pid := p.Status()[0].PID
	syscall.Kill(pid, syscall.SIGINT)
	n, err := taskSquare.Call(ctxFor(patience), p, 3)
	check(n == 9 && err == nil && p.Status()[0].Started == 1, "after SIGINT: %d, %v", n, err)
	syscall.Kill(pid, syscall.SIGTERM)
	check(poll(func() bool { return p.Status()[0].Started == 2 }), "after SIGTERM: %+v", p.Status())
	check(p.Close() == nil && !hasChildren(), "close")
})

func TestWorkersOfBackgroundJob(t *testing.T) {
	checkLeaks(t)
	runHelper(t, ignoringHelper)
}
