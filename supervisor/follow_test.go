package supervisor

import (
	"context"
	"errors"
	"testing"
)

// Tickets are cancelled with their own context and with no other, however many share it, and nothing is kept of contexts that
// have no tickets.
func TestManyContexts(t *testing.T) {
	p := newTestPool(t, testOptions(1))
	_, c, _ := meet(t, p) // keeps the only place busy
	type group struct {
		ctx    context.Context
		cancel context.CancelCauseFunc
		fs     []*Future[int]
	}
	var groups []*group
	for range 5 {
		g := &group{}
		g.ctx, g.cancel = context.WithCancelCause(t.Context())
		groups = append(groups, g)
	}
	for n := range 100 {
		g := groups[n*7%5]
		f, err := taskSquare.Submit(g.ctx, p, n)
		if err != nil {
			t.Fatal(err)
		}
		g.fs = append(g.fs, f)
	}
	groups[3].fs[7].Cancel(errTest)
	groups[1].cancel(errTest)
	groups[1].cancel(errors.New("too late"))
	for _, f := range groups[1].fs {
		if _, err := f.Get(within(t)); !errors.Is(err, errTest) {
			t.Fatal(err)
		}
	}
	if late, err := taskSquare.Submit(groups[1].ctx, p, 1); err != nil {
		t.Error(err)
	} else if _, err := late.Get(within(t)); !errors.Is(err, errTest) {
		t.Error(err)
	}
	if err := c.Send(within(t), "go"); err != nil {
		t.Fatal(err)
	}
	for i, g := range groups {
		for n, f := range g.fs {
			if _, err := f.Get(within(t)); (err != nil) != (i == 1 || i == 3 && n == 7) {
				t.Errorf("group %d, ticket %d: %v", i, n, err)
			}
		}
		g.cancel(nil)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.followings); n > 1 {
		t.Errorf("%d contexts are watched for no ticket", n)
	}
}
