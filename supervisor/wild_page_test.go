package supervisor

import (
	"errors"
	"os"
	"testing"

	"github.com/seed-185a7250/multiproc/proto"
)

// A page is believed only as far as it can be true (PITFALLS 42): this one says that nothing was ever begun, that
// its commands are the groups of others, and that it has used more memory than there is.
var liar = fakeWorker("liar", func(f *fake) {
	f.greet()
	f.serve(func(r fakeRun) {
		var g int
		r.into(&g)
		f.scribe.state(proto.ScoreBusy, 0)
		f.scribe.word[proto.ScoreGroups].Store(uint64(g))
		f.scribe.word[proto.ScoreGroups+1].Store(1 << 63)
		f.scribe.word[proto.ScoreGroups+2].Store(1)
		f.scribe.word[proto.ScoreGroups+3].Store(uint64(os.Getppid()))
		f.scribe.word[proto.ScorePeak].Store(1 << 60)
		os.Exit(7)
	})
})

func TestLyingPage(t *testing.T) {
	p := newTestPool(t, fakeOptions(2, liar))
	innocent := begin(t, sh("exec sleep 300"))
	r := result(t, submit(t, echoTask, p, innocent.PID(), Ticket{Attempts: 2}))
	if r.Outcome != OutcomeExit || r.Attempts != 2 {
		t.Errorf("%+v", r)
	}
	died, ok := errors.AsType[*WorkerDiedError](r.Err)
	if !ok || died.PeakMemory != 0 || died.Exit.Status() != 7 {
		t.Errorf("%+v", died)
	}
	if !alive(mustStat(t, innocent.PID())) {
		t.Error("an innocent process was killed because a page lists its group")
	}
	if n := p.Status()[0].Started + p.Status()[1].Started; n > maxVoids+5 {
		t.Errorf("%d processes for one ticket", n)
	}
}

// The other way round: a page that says that all was begun and done cannot cost more than the attempts.
var boaster = fakeWorker("boaster", func(f *fake) {
	f.greet()
	f.scribe.word[proto.ScoreDone].Store(1 << 40)
	f.serve(func(r fakeRun) { os.Exit(7) })
})

func TestBoastingPage(t *testing.T) {
	p := newTestPool(t, fakeOptions(1, boaster))
	if r := result(t, submit(t, echoTask, p, 1, Ticket{Attempts: 3})); r.Outcome != OutcomeExit || r.Attempts != 3 {
		t.Errorf("%+v", r)
	}
}

// A worker that claims nothing has begun all that it was sent, with several slots: the page shows one run.
var twoAtATime = fakeWorker("two at a time", func(f *fake) {
	f.greet()
	f.read()
	m, _ := f.read()
	f.scribe.state(proto.ScoreBusy, m.ID)
	os.Exit(7)
})

func TestSlotsWithoutClaims(t *testing.T) {
	o := fakeOptions(1, twoAtATime)
	o.Slots = 2
	p := newTestPool(t, o)
	for _, f := range []*Future[int]{submit(t, echoTask, p, 1), submit(t, echoTask, p, 2)} {
		if r := result(t, f); r.Outcome != OutcomeExit || r.Attempts != 1 {
			t.Errorf("%+v", r)
		}
	}
}

// What begun says of a page, by itself.
func TestBegun(t *testing.T) {
	board, err := newBoard()
	if err != nil {
		t.Fatal(err)
	}
	defer board.Close()
	for _, c := range []struct {
		name         string
		magic        uint64
		pid          uint64
		ticket, done uint64
		want         bool
	}{
		{"no page", 0, 42, 0, 0, true},
		{"page of another", proto.ScoreMagicValue, 41, 0, 0, true},
		{"idle", proto.ScoreMagicValue, 42, 0, 2, false},
		{"running", proto.ScoreMagicValue, 42, 3, 2, true},
		{"running the one before", proto.ScoreMagicValue, 42, 2, 1, false},
		{"over", proto.ScoreMagicValue, 42, 0, 3, true},
		{"done, not yet forgotten", proto.ScoreMagicValue, 42, 3, 3, true},
	} {
		clearBoard(board)
		for word, v := range map[int]uint64{proto.ScoreMagic: c.magic, proto.ScorePID: c.pid, proto.ScoreTicket: c.ticket, proto.ScoreDone: c.done} {
			board.Word(word).Store(v)
		}
		if got := begun(board, 42, 3); got != c.want {
			t.Errorf("%s: run 3 begun %v", c.name, got)
		}
	}
}
