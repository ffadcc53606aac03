package supervisor

import (
	"bytes"
	"errors"
	"fmt"
	"syscall"
	"testing"

	"github.com/seed-185a7250/multiproc/ipc"
)

// Several large arguments and results at a time are no reason for the two sides to wait for each other.
func TestSlotsWithLargeArguments(t *testing.T) {
	o := testOptions(1)
	o.Slots = 16
	p := newTestPool(t, o)
	arg := bytes.Repeat([]byte("0123456789abcdef"), 60<<10/16)
	var fs []*Future[[]byte]
	for range 1000 {
		fs = append(fs, submit(t, taskEcho, p, arg))
	}
	for _, f := range fs {
		if v, err := f.Get(within(t)); err != nil || !bytes.Equal(v, arg) {
			t.Fatalf("%d bytes, %v", len(v), err)
		}
	}
	if s := p.Status()[0]; s.Started != 1 {
		t.Errorf("%d processes", s.Started)
	}
}

// A slot whose ticket was taken back is free for the next one.
func TestSlotOfACancelledTicket(t *testing.T) {
	o := testOptions(1)
	o.Slots = 2
	p := newTestPool(t, o)
	first, c, pid := meet(t, p)
	freeze(t, pid)
	second := submit(t, taskTiny, p, "")
	third := submit(t, taskTiny, p, "")
	second.Cancel(errTest)
	if r := result(t, second); r.Outcome != OutcomeCancelled || !errors.Is(r.Err, errTest) {
		t.Errorf("%+v", r)
	}
	syscall.Kill(pid, syscall.SIGCONT)
	getTiny(t, []*Future[int]{third})
	if err := c.Send(within(t), "go"); err != nil {
		t.Error(err)
	}
	if r := result(t, first); r.Outcome != OutcomeOK {
		t.Errorf("%+v", r)
	}
}

// A stopped process is not killed for not reading, however often it is handed a ticket that is cancelled before it begins, and
// nobody who submits waits for it.
func TestStoppedProcessIsNotDeaf(t *testing.T) {
	for _, size := range []int{0, 50 << 10} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			p := newTestPool(t, testOptions(1))
			pid := p.Status()[0].PID
			freeze(t, pid)
			for range 500 {
				f := submit(t, taskEcho, p, make([]byte, size))
				f.Cancel(errTest)
				if r := result(t, f); r.Outcome != OutcomeCancelled || r.Attempts != 0 {
					t.Fatalf("%+v", r)
				}
			}
			syscall.Kill(pid, syscall.SIGCONT)
			if got, err := taskPID.Call(within(t), p, struct{}{}); got != pid || err != nil {
				t.Errorf("process %d, %v, expected %d", got, err, pid)
			}
		})
	}
}

// With several slots too.
func TestStoppedProcessWithSlotsIsNotDeaf(t *testing.T) {
	o := testOptions(1)
	o.Slots = 16
	p := newTestPool(t, o)
	pid := p.Status()[0].PID
	freeze(t, pid)
	var fs []*Future[[]byte]
	for range 32 {
		fs = append(fs, submit(t, taskEcho, p, make([]byte, 60<<10)))
	}
	wait := submit(t, taskTiny, p, "", Ticket{Priority: 9})
	wait.Cancel(errTest)
	result(t, wait)
	syscall.Kill(pid, syscall.SIGCONT)
	for _, f := range fs {
		if _, err := f.Get(within(t)); err != nil {
			t.Fatal(err)
		}
	}
	if got := p.Status()[0].PID; got != pid {
		t.Errorf("process %d, expected %d", got, pid)
	}
}

// Tickets that are tried again together have each a write of their own if they need one.
func TestSlotsTriedAgain(t *testing.T) {
	o := testOptions(1)
	o.Slots = 3
	p := newTestPool(t, o)
	again := Ticket{Attempts: 2}
	short := submit(t, taskTiny, p, "wait", again)
	first, c, _ := meet(t, p, again)
	second, d, pid := meet(t, p, again)
	syscall.Kill(pid, syscall.SIGKILL)
	for _, conn := range []*ipc.Conn{c, d} {
		if metPID(t, conn) == pid {
			t.Error("the same process")
		}
		if err := conn.Send(within(t), "go"); err != nil {
			t.Error(err)
		}
	}
	for _, f := range []*Future[string]{first, second} {
		if r := result(t, f); r.Outcome != OutcomeOK || r.Attempts != 2 {
			t.Errorf("%+v", r)
		}
	}
	short.Cancel(errTest)
	result(t, short)
}
