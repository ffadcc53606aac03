package ipc

import (
	"context"
	"math/rand/v2"
	"time"
)

// What the processes of a storm do, without end.

type rcontest struct {
	RLock  *RLock
	Block  *Block
	Levels int
	Cancel bool // give up waiting now and then
	Seed   uint64
}

func init() {
	helpers["rlocker"] = func(c *Conn) error {
		var x rcontest
		if err := c.Recv(context.Background(), &x); err != nil {
			return err
		}
		random := rand.New(rand.NewPCG(x.Seed, 0))
		for {
			if err := x.round(random); err != nil {
				return err
			}
		}
	}
}

// sometimes returns a context that ends soon, now and then.
func sometimes(yes bool, random *rand.Rand) (context.Context, context.CancelFunc) {
	if yes && random.IntN(4) == 0 {
		return context.WithTimeout(context.Background(), time.Duration(random.IntN(300))*time.Microsecond)
	}
	return context.WithCancel(context.Background())
}

func (x *rcontest) round(random *rand.Rand) error {
	ctx, cancel := sometimes(x.Cancel, random)
	defer cancel()
	outer, err := x.RLock.Acquire(ctx)
	if err == context.DeadlineExceeded {
		return nil
	}
	if err != nil {
		return err
	}
	held := []RHeld{outer}
	for range random.IntN(x.Levels) {
		h, err := x.RLock.Acquire(ctx)
		if err != nil {
			return err
		}
		held = append(held, h)
	}
	inside(x.Block, held[len(held)-1])
	for _, h := range held {
		if err := h.Release(); err != nil {
			return err
		}
	}
	return nil
}
