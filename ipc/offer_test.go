package ipc

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/seed-185a7250/multiproc/proto"
)

// A parrot answers `say` with its argument, `later` when it is told to, `hang` never, and tells
// what becomes of its calls.
type parrot struct {
	answer chan struct{}  // lets the calls of later go on, one each
	waits  chan struct{}  // one for each call of later that waits
	told   chan string    // that a call quit, or a connection ended
	block  chan struct{}  // while it is open, `block` does not return
	holds  chan func()    // of `hold`
	asked  chan *Request  // calls of `late`
	came   chan struct{}  // one for each call of block
	order  chan proto.Raw // arguments of `say`
}

func newParrot() *parrot {
	return &parrot{
		answer: make(chan struct{}), waits: make(chan struct{}, 16), told: make(chan string, 16), block: make(chan struct{}), holds: make(chan func(), 16),
		asked: make(chan *Request, 16), came: make(chan struct{}, 16), order: make(chan proto.Raw, 2000),
	}
}

func (b *parrot) open(ctx context.Context) func(*Request) {
	context.AfterFunc(ctx, func() { b.told <- "gone" })
	return func(r *Request) {
		switch r.Op {
		case "say":
			b.order <- r.Args[0]
			r.Answer(r.Args[0], nil)
		case "fail":
			r.Answer(nil, errors.New("no"))
		case "block":
			b.came <- struct{}{}
			<-b.block
			r.Answer(nil, nil)
		case "hold":
			b.holds <- r.Hold()
			r.Answer(nil, nil)
		case "late":
			b.asked <- r
		case "later":
			if r.Wait(func() { b.told <- "quit" }) {
				b.waits <- struct{}{}
				go func() {
					<-b.answer
					if !r.Answer(nil, nil) {
						b.told <- "too late"
					}
				}()
			}
		}
	}
}

func (b *parrot) tells(t *testing.T, word string) {
	t.Helper()
	select {
	case got := <-b.told:
		want(t, got, word)
	case <-time.After(deadline):
		t.Fatalf("waited to be told %q", word)
	}
}

func offerParrot(t *testing.T) (*Manager, *parrot, *foreign, *foreign) {
	m, path := newTestManager(t, ManagerOptions{})
	b := newParrot()
	if err := m.Offer("bird", "parrot", b.open); err != nil {
		t.Fatal(err)
	}
	if err := m.Offer("bird", "parrot", b.open); !errors.Is(err, ErrExists) {
		t.Fatalf("offered twice: %v", err)
	}
	if err := m.Offer("", "parrot", b.open); err == nil {
		t.Fatal("offered without a name")
	}
	return m, b, dialManager(t, path), dialManager(t, path)
}

func TestOfferAnswers(t *testing.T) {
	checkLeaks(t)
	_, b, a, _ := offerParrot(t)
	v, err := a.do(proto.MethodCreate, "parrot", []any{}, none)
	wantFault(t, proto.KindUnknownKind, v, err)
	d := a.must(proto.MethodAttach, "bird", none).([]any)[1].(map[string]any)
	want(t, d["kind"], "parrot")
	want(t, a.call("bird", "say", "hello"), "hello")
	a.fails(proto.KindError, "bird", "fail")
	a.must(proto.MethodDecref, "bird", 1, none)
	want(t, a.call("bird", "say", "hello"), "hello") // it is kept
	answers := a.must(proto.MethodBatch, []any{[]any{"bird", "say", []any{1}}}, none).([]any)
	want(t, answers[0].([]any)[0].([]any)[0], proto.KindDenied)
	// Time and cancel are nothing to a call that does not wait.
	late := a.start("bird", "late", nil, noTime)
	r := <-b.asked
	a.must(proto.MethodCancel, late, none)
	r.Answer(proto.Raw{7}, nil)
	if r.Answer(proto.Raw{8}, nil) {
		t.Error("answered twice")
	}
	a.gets(late, int64(7))
}

// One connection's calls are executed in order; those of another do not wait for them, nor do
// other objects.
func TestOfferOrder(t *testing.T) {
	checkLeaks(t)
	m, b, a, c := offerParrot(t)
	blocked := a.start("bird", "block", nil, none)
	<-b.came
	var calls []uint64
	for i := range 1000 {
		calls = append(calls, a.start("bird", "say", []any{i % 100}, none))
	}
	want(t, c.call("bird", "say", "still"), "still")
	<-b.order
	e := a.create("event")
	want(t, a.call(e, "is_set"), false)
	m.waits(t, 1001)
	close(b.block)
	a.gets(blocked, nil)
	for i, id := range calls {
		a.gets(id, int64(i%100))
		want(t, <-b.order, proto.Raw{byte(i % 100)})
	}
}

func TestOfferWaits(t *testing.T) {
	checkLeaks(t)
	m, b, a, c := offerParrot(t)
	answered := a.start("bird", "later", nil, none)
	<-b.waits
	b.answer <- struct{}{}
	a.gets(answered, nil)
	a.quits(proto.KindTimeout, "bird", "later", nil, noTime)
	a.quits(proto.KindTimeout, "bird", "later", nil, map[string]any{"timeout_ms": 1})
	<-b.waits
	b.tells(t, "quit")
	b.answer <- struct{}{}
	b.tells(t, "too late")
	cancelled := a.start("bird", "later", nil, none)
	<-b.waits
	a.must(proto.MethodCancel, cancelled, none)
	a.getsFault(proto.KindCancelled, cancelled)
	// A cancel that comes before the call waits is heard when it does.
	b.tells(t, "quit")
	late := c.start("bird", "late", nil, none)
	r := <-b.asked
	c.must(proto.MethodCancel, late, none)
	if r.Wait(nil) {
		t.Error("a call that was cancelled waits")
	}
	c.getsFault(proto.KindCancelled, late)
	c.start("bird", "later", nil, none)
	<-b.waits
	c.conn.Close()
	m.waits(t, 0)
	b.answer <- struct{}{} // of the one that was cancelled
	b.answer <- struct{}{}
}

// What arguments refer to lives while they are held, and a reference in a result is lent.
func TestOfferReferences(t *testing.T) {
	checkLeaks(t)
	m, b, a, c := offerParrot(t)
	inner := a.create("value", nil, 7)
	ref := proto.Ref{Instance: m.instance, ID: uint64(inner)}
	c.call("bird", "say", []any{ref})
	a.must(proto.MethodDecref, inner, 1, none)
	want(t, c.call(inner, "get"), int64(7))
	c.call("bird", "hold", ref)
	c.must(proto.MethodDecref, inner, 1, none)
	want(t, c.call(inner, "get"), int64(7))
	(<-b.holds)()
	c.fails(proto.KindGone, inner, "get")
	c.fails(proto.KindGone, "bird", "say", ref)
	want(t, stored(m), 0)
}
