package stock

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"time"

	"github.com/seed-185a7250/multiproc/ipc"
)

// BuyArgs are the arguments of the task tickets.buy.
type BuyArgs struct {
	Stock    int       // how many tickets the first buyer finds
	DB       string    `msgpack:"db"` // file that counts them
	Lock     *ipc.Lock // held while the file is changed
	MaxDelay *Duration // longest time to think before buying; nil: 100 ms
	Hold     Duration  // how long paying takes, while the lock is held
}

// A BuyResult is what became of one buyer.
type BuyResult struct {
	Sold      bool   // whether this buyer has a ticket
	Number    int    // of the ticket, from 1; 0 without
	Left      int    // how many were left when the buyer left
	Seen      int    // how many the buyer saw when looking, without the lock
	Ticket    string // id of the buyer
	PID       int    `msgpack:"pid"`
	Again     bool   // an earlier attempt had bought it, and died before it could say so
	OwnerDied bool   // whoever held the lock before died holding it
}

const defaultMaxDelay = Duration(100 * time.Millisecond)

// buy looks how many tickets are left, thinks, and buys one under the lock. What was seen may be wrong by then; what counts is
// what the file says under the lock.
//
// The sale is recorded with the buyer's id by the same rename that takes the ticket off, so a buyer who is killed at any
// moment has either bought or not, and when tried again finds out which.
func buy(ctx context.Context, c call, in BuyArgs, out io.Writer) (BuyResult, error) {
	result := BuyResult{Ticket: c.id, PID: os.Getpid()}
	if err := in.check(c); err != nil {
		return result, err
	}
	seen, err := readBook(in.DB, in.Stock)
	if err != nil {
		return result, err
	}
	result.Seen = seen.Left
	if err := pause(ctx, in.delay()); err != nil {
		return result, err
	}
	held, err := in.Lock.Acquire(ctx)
	if err != nil {
		return result, fmt.Errorf("tickets.buy: lock: %w", err)
	}
	result.OwnerDied = held.OwnerDied()
	book, entry, err := sell(ctx, in, &result)
	if err := errors.Join(err, held.Release()); err != nil {
		return result, err
	}
	result.Left = book.Left
	fmt.Fprintln(out, saleLine(result, entry)) // who watches may go away; the sale stands
	return result, nil
}

func (in BuyArgs) check(c call) error {
	switch {
	case c.id == "":
		return badArgs("tickets.buy: the buyer has no id")
	case in.DB == "":
		return badArgs(`tickets.buy: no "db"; expected a file such as {"$scratch": "db.json"}`)
	case in.Lock == nil:
		return badArgs(`tickets.buy: no "lock"; expected one such as {"$shared": "mutex"}`)
	case in.Stock < 0:
		return badArgs("tickets.buy: stock: found %d; expected 0 or more", in.Stock)
	}
	return nil
}

func (in BuyArgs) delay() time.Duration {
	most := defaultMaxDelay
	if in.MaxDelay != nil {
		most = *in.MaxDelay
	}
	return time.Duration(rand.Int64N(cmp.Or(int64(most), 1)))
}

// sell is called with the lock held.
func sell(ctx context.Context, in BuyArgs, result *BuyResult) (book, sale, error) {
	b, err := readBook(in.DB, in.Stock)
	if err != nil {
		return b, sale{}, err
	}
	if s, ok := b.find(result.Ticket); ok {
		result.Sold, result.Number, result.Again = true, s.Number, true
		return b, s, removeLeftover(in.DB)
	}
	if b.Left > 0 {
		if err := pause(ctx, time.Duration(in.Hold)); err != nil {
			return b, sale{}, err
		}
	} else if !b.fresh {
		return b, sale{}, removeLeftover(in.DB)
	}
	s := b.sell(result.Ticket, result.PID)
	if err := writeBook(in.DB, b); err != nil {
		return b, sale{}, err
	}
	result.Sold, result.Number = s.Number > 0, s.Number
	return b, s, nil
}

// saleLine is what a person sees of a buyer.
func saleLine(r BuyResult, s sale) string {
	line := fmt.Sprintf("%s: pid %d ", r.Ticket, r.PID)
	switch {
	case r.Again:
		line += fmt.Sprintf("has ticket %d already, bought by pid %d, %d left", r.Number, s.PID, r.Left)
	case r.Sold:
		line += fmt.Sprintf("bought ticket %d, %d left", r.Number, r.Left)
	default:
		line += "found none, 0 left"
	}
	if r.OwnerDied {
		line += " (the one before died holding the lock)"
	}
	return line
}
