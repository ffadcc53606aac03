package supervisor

import (
	"testing"
	"time"

	"github.com/seed-185a7250/multiproc/proto"
)

// Both sides may ask; what this version does not know is answered so. Notifications are ignored.
var asks = fakeWorker("asks", func(f *fake) {
	f.greet()
	id := uint64(1)
	ask := func() {
		f.WriteFrame(nil, proto.AppendNotify(nil, "acme.news", []byte{0x90}))
		id++
		f.WriteFrame(nil, proto.AppendRequest(nil, id, "acme.flush", []byte{0x90}))
		f.WriteFrame(nil, proto.AppendNotify(nil, proto.MethodReady, []byte{0x90}))
	}
	f.serve(func(r fakeRun) {
		ask()
		m, _ := f.read()
		check(m.Kind == proto.Response && m.ID == id && m.Fault != nil && m.Fault.Kind == proto.KindUnknownMethod, "%+v", m)
		f.echo(r)
	})
})

func TestWorkerAsks(t *testing.T) {
	p := newTestPool(t, fakeOptions(1, asks))
	for n := range 10 {
		if got, err := submit(t, echoTask, p, n).Get(within(t)); got != n || err != nil {
			t.Errorf("ticket %d: %d, %v", n, got, err)
		}
	}
}

// One that asks and asks, and does not read the answers: nothing in the master may wait for that.
var floods = fakeWorker("floods", func(f *fake) {
	f.greet()
	go func() {
		for id := uint64(2); f.WriteFrame(nil, proto.AppendRequest(nil, id, "acme.flush", []byte{0x90})) == nil; id++ {
		}
	}()
	waitAtSide(f.args[0])
	select {}
})

func TestFlood(t *testing.T) {
	s := newSide(t)
	o := fakeOptions(1, floods, s.path)
	o.Grace = 100 * time.Millisecond
	p := newTestPool(t, o)
	s.next(t)
	r := result(t, submit(t, echoTask, p, 1, Ticket{Timeout: 100 * time.Millisecond}))
	if r.Outcome == OutcomeOK || r.Err == nil {
		t.Errorf("%+v", r)
	}
}
