package ipc

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/seed-185a7250/multiproc/proto"
)

// This file is how the one who reads a link makes frames of what comes. See Conn for the same with a lock for every message.

// distribute hands out all answers that have come whole, and tells whether that of q was among them.
func (l *link) distribute(q *query) (own bool, err error) {
	for {
		body, large, err := l.frame()
		if body == nil || err != nil {
			return own, err
		}
		m, err := proto.ParseMessage(body, l.limits)
		if err == nil && m.Kind != proto.Response {
			err = fmt.Errorf("%w: it asks %q", proto.ErrProtocol, m.Method)
		}
		var fds []int
		if err == nil {
			fds, err = l.takeFDs()
		}
		if err != nil {
			return own, err
		}
		if !large {
			body = nil
		}
		if err := l.hand(m, fds, body); err != nil {
			return own, err
		}
		own = own || m.ID == q.id
	}
}

// hand gives an answer to who has asked. large is the body if it is not in the buffer that all share.
func (l *link) hand(m proto.Message, fds []int, large []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	q := l.pending[m.ID]
	if q == nil {
		CloseFDs(fds)
		if l.err != nil || m.ID <= l.older {
			return l.err
		}
		return fmt.Errorf("%w: it answers request %d, which nobody made", proto.ErrProtocol, m.ID)
	}
	delete(l.pending, m.ID)
	q.answer(m, fds, large)
	l.finishLocked(q)
	return nil
}

// frame returns the body of the next frame that has come whole, nil if there is none. It is valid until the next call, unless
// it is large: then it is the caller's.
func (l *link) frame() (body []byte, large bool, err error) {
	if l.body != nil {
		if l.got < l.head.Length {
			return nil, false, nil
		}
		body, l.body = l.body, nil
		return body, true, nil
	}
	have := l.w - l.r
	if have < proto.HeaderSize {
		return nil, false, nil
	}
	if l.head, err = proto.ParseHeader(l.in[l.r:l.w], l.limits); err != nil {
		return nil, false, err
	}
	size := proto.HeaderSize + l.head.Length
	if size <= have {
		body = l.in[l.r+proto.HeaderSize : l.r+size]
		l.r += size
		return body, false, nil
	}
	if size > len(l.in) {
		// A header may promise much and bring nothing: what is allocated grows with what has come.
		l.body = make([]byte, min(l.head.Length, firstBody))
		l.got = copy(l.body, l.in[l.r+proto.HeaderSize:l.w])
		l.r, l.w = 0, 0
	}
	return nil, false, nil
}

// takeFDs takes the descriptors of the frame that was just read.
func (l *link) takeFDs() ([]int, error) {
	n := l.head.Descriptors
	if n > len(l.fds) || len(l.fds)-n > maxEarly {
		return nil, fmt.Errorf("%w: a frame with %d descriptors, %d have come", proto.ErrProtocol, n, len(l.fds))
	}
	if n == 0 {
		return nil, nil
	}
	fds := l.fds[:n:n]
	l.fds = l.fds[n:]
	return fds, nil
}

// fill reads what comes, and waits for it until ctx ends.
func (l *link) fill(ctx context.Context) error {
	l.watch(ctx)
	if ctx.Err() != nil { // then it may have told before, and that was for another
		return ctx.Err()
	}
	n, fds, err := l.wire.read(l.room())
	l.fds = append(l.fds, fds...)
	if l.body != nil {
		l.got += n
	} else {
		l.w += n
	}
	switch {
	case err == io.EOF:
		return errEnded
	case !isDeadline(err):
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	}
	// Another context has ended that somebody had watched before. To take its deadline away may take away that of
	// this one too, so this is looked at again.
	l.wire.setReadDeadline(time.Time{})
	return ctx.Err()
}

// watch has the read end when ctx ends. Most calls of a program share few contexts, and to watch one costs an allocation or two: so the
// last one stays watched until there is another.
func (l *link) watch(ctx context.Context) {
	done := ctx.Done()
	if done == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if done == l.watched || l.err != nil {
		return
	}
	l.unwatchLocked()
	l.watched = done
	l.unwatch = context.AfterFunc(ctx, func() { l.wire.setReadDeadline(time.Unix(1, 0)) })
}

func (l *link) unwatchLocked() {
	if l.unwatch != nil {
		l.unwatch()
		l.watched, l.unwatch = nil, nil
	}
}

// room is where the next bytes are to be read to.
func (l *link) room() []byte {
	if l.body != nil {
		if l.got == len(l.body) {
			grown := make([]byte, min(l.head.Length, 2*len(l.body)))
			copy(grown, l.body)
			l.body = grown
		}
		return l.body[l.got:]
	}
	if l.r > 0 {
		l.w = copy(l.in, l.in[l.r:l.w])
		l.r = 0
	}
	return l.in[l.w:]
}
