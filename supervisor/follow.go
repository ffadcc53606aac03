package supervisor

import "context"

// A following is the tickets that are cancelled when one context ends. Most tickets of a program share few contexts, and to
// watch one costs as much as a tiny ticket: so each is watched once. The pool's mu guards it.
type following struct {
	done  <-chan struct{} // of the context: it is known by that
	stop  func() bool
	first *Pending
}

// followed is a ticket's part in it.
type followed struct {
	with           *following // nil: in none
	before, behind *Pending
}

// follow has t cancelled when ctx ends. With mu held.
func (p *Pool) follow(ctx context.Context, t *Pending) {
	done := ctx.Done()
	if done == nil {
		return
	}
	f := p.latest
	if f == nil || f.done != done {
		f = p.followings[done]
	}
	if f == nil {
		f = &following{done: done}
		f.stop = context.AfterFunc(ctx, func() { p.cancelAll(f, context.Cause(ctx)) })
		p.followings[done] = f
	}
	if old := p.latest; old != f {
		p.latest = f // that one stays, though it has no tickets for a moment
		p.forget(old)
	}
	t.with, t.behind = f, f.first
	if f.first != nil {
		f.first.before = t
	}
	f.first = t
}

// unfollow is called when t is over. With mu held.
func (p *Pool) unfollow(t *Pending) {
	f := t.with
	if f == nil {
		return
	}
	if t.before != nil {
		t.before.behind = t.behind
	} else {
		f.first = t.behind
	}
	if t.behind != nil {
		t.behind.before = t.before
	}
	t.followed = followed{}
	if f != p.latest {
		p.forget(f)
	}
}

// forget gives up a following that has no tickets. With mu held.
func (p *Pool) forget(f *following) {
	if f != nil && f.first == nil && p.followings[f.done] == f {
		delete(p.followings, f.done)
		f.stop()
	}
}

// cancelAll is called when the context has ended.
func (p *Pool) cancelAll(f *following, cause error) {
	p.mu.Lock()
	if p.followings[f.done] == f {
		delete(p.followings, f.done)
	}
	if p.latest == f {
		p.latest = nil
	}
	var list []*Pending
	for t := f.first; t != nil; t = t.behind {
		list = append(list, t)
	}
	p.mu.Unlock()
	for _, t := range list {
		p.cancel(t, cause)
	}
}
