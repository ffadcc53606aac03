package supervisor

import (
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/seed-185a7250/multiproc/ipc"
)

// stopWriting submits a ticket whose argument does not fit into the socket of the pool's one process, which is stopped.
func stopWriting(t *testing.T, p *Pool) (f *Future[[]byte], pid int) {
	t.Helper()
	pid = p.Status()[0].PID
	freeze(t, pid)
	f = submit(t, taskEcho, p, make([]byte, 8<<20))
	eventually(t, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.places[0].long != 0
	}, "the argument is being written")
	return f, pid
}

// The pool ends however much there is still to be written to a process that does not read.
func TestEndDuringALongWrite(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(*Pool)
	}{
		{"kill", (*Pool).Kill},
		{"terminate", (*Pool).Terminate},
		{"drain", (*Pool).Drain},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := testOptions(1)
			o.Grace = 200 * time.Millisecond
			p := newTestPool(t, o)
			f, _ := stopWriting(t, p)
			c.end(p)
			if r := result(t, f); r.Outcome != OutcomeCancelled {
				t.Errorf("%+v", r)
			}
			if err := p.Join(within(t)); err != nil {
				t.Error(err)
			}
		})
	}
}

// A ticket is cancelled at once while its argument is being written, and the process lives: it only sleeps.
func TestCancelDuringALongWrite(t *testing.T) {
	p := newTestPool(t, testOptions(1))
	f, pid := stopWriting(t, p)
	f.Cancel(errTest)
	if r := result(t, f); r.Outcome != OutcomeCancelled || !errors.Is(r.Err, errTest) || r.Attempts != 0 {
		t.Errorf("%+v", r)
	}
	g := submit(t, taskPID, p, struct{}{})
	syscall.Kill(pid, syscall.SIGCONT)
	if got, err := g.Get(within(t)); got != pid || err != nil {
		t.Errorf("process %d, %v, expected %d", got, err, pid)
	}
}

// The descriptors of a ticket stay open until they are sent, also if it is cancelled meanwhile.
func TestCancelBeforeDescriptorsAreSent(t *testing.T) {
	p := newTestPool(t, testOptions(1))
	pid := p.Status()[0].PID
	freeze(t, pid)
	m := meetingWith(t)
	for range 1000 { // until there is no room in the socket, and some more
		f := submit(t, taskMeet, p, m)
		f.Cancel(errTest)
		if r := result(t, f); r.Outcome != OutcomeCancelled || r.Attempts != 0 {
			t.Fatalf("%+v", r)
		}
	}
	syscall.Kill(pid, syscall.SIGCONT)
	// If the write went wrong the process is killed a drainLimit later.
	if r := result(t, submit(t, taskTiny, p, "wait", Ticket{Timeout: drainLimit + time.Second})); r.Outcome != OutcomeTimeout || r.PID != pid {
		t.Errorf("%+v, expected that process %d lives", r, pid)
	}
}

// meetingWith is a meeting to which nobody comes.
func meetingWith(t *testing.T) meeting {
	t.Helper()
	ours, theirs, err := ipc.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	return meeting{theirs}
}
