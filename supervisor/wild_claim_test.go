package supervisor

import (
	"errors"
	"slices"
	"syscall"
	"testing"

	"github.com/seed-185a7250/multiproc/proto"
)

// greetClaiming does the worker's part of the handshake, of one that claims its runs.
func (f *fake) greetClaiming() {
	f.hello(proto.Hello{Min: 1, Max: 1, Tasks: taskNames(), Caps: []string{proto.CapScoreboard, proto.CapClaim}})
	f.ready()
}

// claiming is a worker that claims its runs, and answers them quickly until it is asked for a negative number.
func claiming(name string, last func(f *fake, r fakeRun)) string {
	return fakeWorker(name, func(f *fake) {
		f.greetClaiming()
		f.serve(func(r fakeRun) {
			if !f.scribe.claim(uint32(r.Epoch), r.id) {
				return
			}
			var n int
			if r.into(&n); n < 0 && r.Attempt == 1 {
				last(f, r)
			}
			f.answer(r.id, n)
		})
	})
}

// One that changes the epoch, which is the master's: it is killed, and its tickets count as begun, for nobody can tell.
var otherEpoch = claiming("other epoch", func(f *fake, r fakeRun) {
	f.scribe.word[proto.ScoreClaim].Store(uint64(proto.NewClaim(uint32(r.Epoch)+7, r.id)))
	waitAtSide(f.args[0])
	select {}
})

func TestClaimOfAnotherEpoch(t *testing.T) {
	lied := newSide(t)
	p := newTestPool(t, fakeOptions(1, otherEpoch, lied.path))
	bad := submit(t, echoTask, p, -1)
	lied.next(t)
	behind := submit(t, echoTask, p, 1)
	bad.Cancel(errTest)
	if r := result(t, bad); r.Outcome != OutcomeSignal || !errors.Is(r.Err, ErrProtocol) {
		t.Errorf("%+v", r)
	}
	if r := result(t, behind); r.Outcome != OutcomeOK {
		t.Errorf("%+v", r)
	}
}

// One that is stopped between two answers that it keeps back: that costs the master nothing.
func TestStoppedWithAnswers(t *testing.T) {
	p := tinyPool(t, testOptions(1))
	pid := p.Status()[0].PID
	defer syscall.Kill(pid, syscall.SIGCONT)
	eventually(t, func() bool {
		syscall.Kill(pid, syscall.SIGCONT)
		getTiny(t, tinyBatch(t, p, 300))
		fs := tinyBatch(t, p, 300)
		freeze(t, pid)
		return slices.ContainsFunc(fs, func(f *Future[int]) bool { return !f.p.kept.Load() }) && begunBy(p, pid) > 1
	}, "the process is stopped after it has begun several runs")
	eventually(t, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.places[0].alarmAt.IsZero()
	}, "the place looks at its process again and again")
}
