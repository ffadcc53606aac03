package supervisor

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-185a7250/multiproc/proto"
)

var wrongID = fakeWorker("wrong id", func(f *fake) {
	f.greet()
	f.serve(func(r fakeRun) {
		if r.Attempt == 1 {
			f.answer(r.id+1, -1)
			select {}
		}
		f.echo(r)
	})
})

var garbage = fakeWorker("garbage", func(f *fake) {
	f.greet()
	f.serve(func(r fakeRun) {
		if r.Attempt == 1 {
			f.raw.WriteString("Segmentation fault\n")
			select {}
		}
		f.echo(r)
	})
})

// A header is all that it takes to claim four gigabytes.
var huge = fakeWorker("huge", func(f *fake) {
	f.greet()
	f.serve(func(r fakeRun) {
		if r.Attempt == 1 {
			f.raw.Write([]byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0})
			select {}
		}
		f.echo(r)
	})
})

var closes = fakeWorker("closes", func(f *fake) {
	f.greet()
	f.serve(func(r fakeRun) {
		if r.Attempt == 1 {
			f.Close()
			f.raw.Close()
			select {}
		}
		f.echo(r)
	})
})

// One that ends its connection, by whatever means, is dead to the pool, and then altogether.
func TestBrokenConnection(t *testing.T) {
	for _, c := range []struct {
		fake string
		is   error
		says string
	}{
		{wrongID, ErrProtocol, "which is not under way"},
		{garbage, proto.ErrProtocol, "header"},
		{huge, proto.ErrTooLarge, "4294967295"},
		{closes, nil, "closed its connection"},
	} {
		t.Run(c.fake, func(t *testing.T) {
			p := newTestPool(t, fakeOptions(1, c.fake))
			pid := p.Status()[0].PID
			r := result(t, submit(t, echoTask, p, 1))
			died, ok := errors.AsType[*WorkerDiedError](r.Err)
			if !ok || died.PID != pid || r.Outcome != OutcomeSignal || died.Exit.Status() != -9 {
				t.Errorf("%+v", r)
			}
			if c.is != nil && !errors.Is(r.Err, c.is) || !strings.Contains(r.Err.Error(), c.says) {
				t.Errorf("%v, expected %q", r.Err, c.says)
			}
			f := submit(t, echoTask, p, 2, Ticket{Attempts: 2})
			if got, err := f.Get(within(t)); got != 2 || err != nil {
				t.Errorf("tried again: %d, %v", got, err)
			}
			if r := result(t, f); r.Attempts != 2 {
				t.Errorf("tried again: %+v", r)
			}
		})
	}
}

// One that closes its socket while it has nothing to do, and lives on.
var leaves = fakeWorker("leaves", func(f *fake) {
	f.greet()
	if f.welcome.Incarnation == 1 {
		f.Close()
		f.raw.Close()
		select {}
	}
	f.serve(f.echo)
})

func TestIdleWorkerCloses(t *testing.T) {
	p := newTestPool(t, fakeOptions(1, leaves))
	first := mustStat(t, p.Status()[0].PIDs[0])
	eventually(t, func() bool { return !alive(first) && p.Status()[0].Started == 2 }, "the process is ended and replaced")
	if r := result(t, submit(t, echoTask, p, 3)); r.Outcome != OutcomeOK || r.Attempts != 1 {
		t.Errorf("%+v", r)
	}
}

// A grandchild that has descriptor 3 keeps the connection open when the worker is dead.
var shares = fakeWorker("shares", func(f *fake) {
	share := func() {
		cmd := exec.Command("sleep", "300")
		cmd.ExtraFiles = []*os.File{f.raw}
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		check(cmd.Start() == nil, "start")
		waitAtSideFor(f.args[0], cmd.Process.Pid)
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	f.greet()
	if f.welcome.Incarnation == 1 {
		share()
	}
	f.serve(func(r fakeRun) {
		if r.Attempt == 1 && f.welcome.Incarnation == 2 {
			share()
		}
		f.echo(r)
	})
})

func TestSharedDescriptor(t *testing.T) {
	s := newSide(t)
	p := newTestPool(t, fakeOptions(1, shares, s.path))
	release := func() {
		pid, goOn := s.next(t)
		grandchild := mustStat(t, pid)
		t.Cleanup(grandchild.kill)
		goOn()
	}
	release()
	eventually(t, func() bool { return p.Status()[0].Started == 2 }, "a worker that died idle is replaced")
	f := submit(t, echoTask, p, 7, Ticket{Attempts: 2})
	release()
	if got, err := f.Get(within(t)); got != 7 || err != nil {
		t.Errorf("%d, %v", got, err)
	}
	if r := result(t, f); r.Attempts != 2 {
		t.Errorf("%+v", r)
	}
}
