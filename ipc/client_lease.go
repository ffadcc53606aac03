package ipc

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/seed-185a7250/multiproc/proto"
)

// A lease is one reference of a connection to an object, which keeps it alive.
type lease struct {
	l     *link
	id    uint64
	given atomic.Bool
}

// giveBack gives the lease back now, forget some time soon together with others. Only the first counts.
func (x *lease) giveBack() {
	if !x.given.Swap(true) {
		x.l.drop(x.id)
		x.l.sendDrops()
	}
}

func (x *lease) forget() {
	if !x.given.Swap(true) && x.l.drop(x.id) {
		time.AfterFunc(dropDelay, x.l.sendDrops)
	}
}

// dropDelay is how long leases that the garbage collector gives back wait for others.
const dropDelay = 5 * time.Millisecond

// drop notes that a lease is to be given back, and tells whether it is the first of those to be told together.
func (l *link) drop(id uint64) (first bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.endedLocked() != nil {
		return false
	}
	if l.drops == nil {
		l.drops = map[uint64]uint64{}
	}
	l.drops[id]++
	return len(l.drops) == 1
}

// sendDrops tells the manager which leases are given back.
func (l *link) sendDrops() {
	l.mu.Lock()
	if len(l.drops) == 0 || l.endedLocked() != nil {
		l.mu.Unlock()
		return
	}
	for id, n := range l.drops {
		start := len(l.out)
		l.out = append(l.out, 0, 0, 0, 0, 0, 0, 0, 0)
		l.out = proto.AppendLeaseParams(proto.AppendNotifyHead(l.out, proto.MethodDecref), id, n)
		proto.AppendHeader(l.out[:start], proto.Header{Length: len(l.out) - start - proto.HeaderSize})
	}
	clear(l.drops)
	if l.writing {
		l.mu.Unlock()
		return
	}
	l.flush()
}

// An intake is a result while it is decoded: each reference in it has brought a lease, which goes to the proxy that is made of it. What
// no proxy takes is given back.
type intake struct {
	c    *Client
	l    *link
	left []uint64 // ids whose leases nobody has taken yet
}

// take returns the lease that has come with one occurrence of a reference, nil if there is none.
func (in *intake) take(r proto.Ref) *lease {
	if r.Instance != in.l.instance {
		return nil
	}
	i := slices.Index(in.left, r.ID)
	if i < 0 {
		return nil
	}
	in.left = slices.Delete(in.left, i, i+1)
	return &lease{l: in.l, id: r.ID}
}

// OpenRef makes a Proxy of a reference that is decoded into an interface.
func (in *intake) OpenRef(r proto.Ref) any {
	p := new(Proxy)
	p.DecodeRef(r, in)
	return p
}

// intake returns what is needed to decode r, a part of a result; nil if no reference is in it.
func (l *link) intake(c *Client, r proto.Raw) (in *intake) {
	proto.Refs(r, l.instance, func(id uint64) {
		if in == nil {
			in = &intake{c: c, l: l}
		}
		in.left = append(in.left, id)
	})
	return in
}

// settle gives back what nobody has taken.
func (in *intake) settle() {
	if in == nil || len(in.left) == 0 {
		return
	}
	for _, id := range in.left {
		in.l.drop(id)
	}
	in.l.sendDrops()
}

// decodeFrom decodes a part of a result of l into the pointer v.
func decodeFrom(in *intake, raw proto.Raw, v any, lim proto.Limits) error {
	var err error
	if in != nil {
		_, err = proto.UnmarshalFrom(proto.Payload{Bytes: raw}, v, lim, in)
	} else {
		_, err = proto.Unmarshal(proto.Payload{Bytes: raw}, v, lim)
	}
	return err
}
