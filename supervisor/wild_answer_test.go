package supervisor

import (
	"testing"
)

// Workers that break the rules. Whatever they do, each ticket has one result of its own, the pool lives, and no
// step of it waits for them.

// echo answers a run with its argument.
func (f *fake) echo(r fakeRun) {
	var n int
	r.into(&n)
	f.answer(r.id, n)
}

var echoTask = &Task[int, int]{name: taskSquare.Name()}

// A worker that answers twice: the second answer must not become the result of the next ticket.
var twice = fakeWorker("twice", func(f *fake) {
	f.greet()
	f.serve(func(r fakeRun) { f.echo(r); f.answer(r.id, -1) })
})

func TestAnswerTwice(t *testing.T) {
	p := newTestPool(t, fakeOptions(2, twice))
	for n := range 20 {
		if got, err := submit(t, echoTask, p, n, Ticket{Attempts: 50}).Get(within(t)); got != n || err != nil {
			t.Errorf("ticket %d: %d, %v", n, got, err)
		}
	}
	// One that is idle is not left with its second answer, either: it is replaced.
	first := p.Status()[0].PID
	eventually(t, func() bool { return p.Status()[0].PID != first || p.Status()[0].Started > 1 }, "place 1 has another process")
}

// A worker that answers before it is asked.
var hasty = fakeWorker("hasty", func(f *fake) {
	f.greet()
	if f.welcome.Incarnation == 1 {
		f.answer(1, -1)
	}
	f.serve(f.echo)
})

func TestAnswerBeforeTheQuestion(t *testing.T) {
	p := newTestPool(t, fakeOptions(1, hasty))
	eventually(t, func() bool { return p.Status()[0].Started == 2 }, "the process is ended and replaced")
	if got, err := submit(t, echoTask, p, 5, Ticket{Attempts: 1}).Get(within(t)); got != 5 || err != nil {
		t.Errorf("%d, %v", got, err)
	}
}
