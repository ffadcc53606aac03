package ipc

import (
	"context"
	"fmt"

	"github.com/seed-185a7250/multiproc/ipc/internal/shm"
	"github.com/seed-185a7250/multiproc/proto"
)

// A Barrier lets its parties go on when all of them have come, again and again. A
// party that dies in it breaks it.
type Barrier struct{ x *shm.Barrier }

// NewBarrier creates a barrier for so many parties, 1 to 65,535. The name is for
// people.
func NewBarrier(name string, parties int) (*Barrier, error) {
	if parties < 1 || parties > shm.MaxParties {
		return nil, fmt.Errorf("ipc: barrier for %d parties, expected 1 to %d", parties, shm.MaxParties)
	}
	s, err := shm.Create(shm.BarrierConfig(name), newBarrier)
	if err != nil {
		return nil, fmt.Errorf("ipc: new barrier: %w", err)
	}
	x := s.Object().(*shm.Barrier)
	x.Init(uint64(parties))
	return &Barrier{x: x}, nil
}

func newBarrier(s *shm.Segment) any { return shm.NewBarrier(s) }

// Wait comes to the barrier and waits until all have come. It returns a place that no
// other party has, from 0. It returns ErrBarrier if the barrier is broken, or becomes
// so; and the error of ctx if that ends first, which breaks the barrier for the others.
func (b *Barrier) Wait(ctx context.Context) (place int, err error) { return b.WaitAction(ctx, nil) }

// WaitAction is Wait with something that the last party to come does before anybody
// goes. An error of it breaks the barrier, and is told to that party only.
func (b *Barrier) WaitAction(ctx context.Context, action func() error) (place int, err error) {
	if b.x == nil {
		return 0, ErrClosed
	}
	place, err = b.x.Wait(ctx, action)
	return place, named(err)
}

// Abort breaks the barrier.
func (b *Barrier) Abort() error {
	if b.x == nil {
		return ErrClosed
	}
	return named(b.x.Abort())
}

// Reset throws out who waits, with ErrBarrier, and makes the barrier usable again.
func (b *Barrier) Reset() error {
	if b.x == nil {
		return ErrClosed
	}
	return named(b.x.Reset())
}

// Parties returns how many must come, Waiting how many have, Broken whether it is
// broken.
func (b *Barrier) Parties() int {
	if b.x == nil {
		return 0
	}
	return b.x.Parties()
}

// Waiting: see Parties.
func (b *Barrier) Waiting() int {
	if b.x == nil {
		return 0
	}
	return b.x.Waiting()
}

// Broken: see Parties.
func (b *Barrier) Broken() bool { return b.x != nil && b.x.Broken() }

// Name returns the name given to NewBarrier.
func (b *Barrier) Name() string {
	if b.x == nil {
		return ""
	}
	return b.x.Segment().Name()
}

// Close ends the use of the barrier in this process; if it has parties in it, the
// barrier breaks.
func (b *Barrier) Close() error {
	if b.x != nil {
		b.x.Segment().Close()
	}
	return nil
}

// EncodeHandle implements proto.HandleEncoder.
func (b *Barrier) EncodeHandle() (proto.Handle, []int, error) {
	if b.x == nil {
		return proto.Handle{}, nil, ErrClosed
	}
	return encodeSegment(handleBarrier, b.x.Segment())
}

// DecodeHandle implements proto.HandleDecoder.
func (b *Barrier) DecodeHandle(h proto.Handle, fds []int) error {
	s, err := openSegment(h, fds, handleBarrier, shm.KindBarrier, newBarrier)
	if err == nil {
		b.x = s.Object().(*shm.Barrier)
	}
	return err
}
