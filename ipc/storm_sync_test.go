package ipc

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"
)

func eventRound(s *squall, random *rand.Rand) error {
	e := s.Tools.Event
	switch random.IntN(8) {
	case 0:
		return e.Set()
	case 1, 2:
		return e.Clear()
	}
	ctx, cancel := sometimes(!s.Calm, random)
	defer cancel()
	return e.Wait(ctx)
}

func TestEventRandomKills(t *testing.T) {
	checkLeaks(t)
	w := newWeather(t, "event")
	e := w.k.Event
	w.rage(40, func(stopped int) {
		e.Clear()
		line := e.x.Line()
		var before [4]uint64
		for i := range w.procs {
			before[i] = w.beat(i)
		}
		if err := e.Set(); err != nil {
			t.Fatal(err)
		}
		e.Clear()
		for i := range w.procs {
			if i == stopped || !slices.Contains(line, w.pid(i)) {
				continue
			}
			for end := time.Now().Add(deadline); w.beat(i) == before[i]; runtime.Gosched() {
				if time.Now().After(end) {
					t.Fatalf("process %d has not heard of a set", i)
				}
			}
		}
		w.goOn(stopped, func() { e.Set(); e.Clear() })
	})
	w.end()
}

// Condition: producers and consumers; two conditions with one lock.

const (
	condMade    = wordKind // written first
	condTaken   = wordKind + 1
	condItems   = wordKind + 2 // is made less taken, unless the owner died
	condGranted = wordKind + 3
	condWoken   = wordKind + 4

	condMost = 3
)

func conditionRound(s *squall, random *rand.Rand) error {
	ctx, cancel := sometimes(!s.Calm, random)
	defer cancel()
	k := s.Tools
	h, err := k.Condition.Lock().Acquire(ctx)
	if err != nil {
		return err
	}
	defer h.Release()
	mine, others, change := k.Condition, k.Full, condTaken
	ready := func() bool { return s.word(condItems).Load() > 0 }
	if s.Me%2 == 0 {
		mine, others, change = k.Full, k.Condition, condMade
		ready = func() bool { return s.word(condItems).Load() < condMost }
	}
	for s.mend(ctx, h); !ready(); s.mend(ctx, h) {
		err := mine.Wait(ctx)
		if late(err) {
			s.mend(ctx, h)
		}
		if err != nil {
			return err
		}
		s.word(condWoken).Add(1)
	}
	s.word(change).Add(1)
	items := s.word(condMade).Load() - s.word(condTaken).Load()
	if items > condMost {
		s.wrong("%d items", int64(items))
	}
	s.word(condItems).Store(items)
	n, err := others.Notify(ctx, 1)
	if n > 1 {
		s.wrong("%d notified", n)
	}
	s.word(condGranted).Add(uint64(n))
	return err
}

// mend does what one has to do who takes the lock from the dead: it makes right what
// that one has left half done, and notifies in its place.
func (s *squall) mend(ctx context.Context, h RHeld) {
	items := s.word(condMade).Load() - s.word(condTaken).Load()
	if s.word(condItems).Load() != items && !h.OwnerDied() {
		s.wrong("%d items, made less taken is %d", s.word(condItems).Load(), items)
	}
	s.word(condItems).Store(items)
	if h.OwnerDied() {
		for _, c := range []*Condition{s.Tools.Condition, s.Tools.Full} {
			n, _ := c.NotifyAll(ctx)
			s.word(condGranted).Add(uint64(n))
		}
	}
}

func TestConditionRandomKills(t *testing.T) {
	checkLeaks(t)
	w := newWeather(t, "condition")
	ctx := WithOwner(context.Background())
	w.rage(40, func(stopped int) {
		if stopped < 0 {
			w.goOn(-1, nil)
			return
		}
		try, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		h, err := w.k.Condition.Lock().Acquire(try)
		if err == nil {
			(&squall{Tools: w.k, Block: w.block, Me: 9}).mend(ctx, h)
			mustUnlock(t, h)
		} else if owner := w.k.Condition.Lock().r.x.Owner(); owner != w.pid(stopped) {
			t.Fatalf("process %d is stopped, %d holds the lock: %v", w.pid(stopped), owner, err)
		}
	})
	w.end()
	granted, woken := w.block.Word(condGranted).Load(), w.block.Word(condWoken).Load()
	t.Logf("%d notified, %d woken", granted, woken)
	// A notification that dies with its waiter goes to all who wait, three at the most; and
	// who is killed may have notified one and not counted it.
	if woken > granted+4*uint64(w.kills) {
		t.Errorf("%d were woken by %d notifications and %d deaths", woken, granted, w.kills)
	}
}

// Barrier: in each round each place once.

const (
	barrierRounds = wordKind     // how often the action ran
	barrierPlaces = wordKind + 1 // of the last 8 rounds, a bit each
)

func barrierRound(s *squall, random *rand.Rand) error {
	ctx, cancel := context.WithCancel(context.Background())
	if !s.Calm && random.IntN(50) == 0 {
		ctx, cancel = context.WithTimeout(ctx, time.Duration(random.IntN(300))*time.Microsecond)
	}
	defer cancel()
	place, err := s.Tools.Barrier.WaitAction(ctx, func() error {
		n := s.word(barrierRounds).Load() + 1
		s.word(barrierPlaces + int(n%8)).Store(0)
		s.word(barrierRounds).Store(n)
		if !s.Calm && random.IntN(50) == 0 {
			return errors.New("no")
		}
		return nil
	})
	if errors.Is(err, ErrBarrier) || late(err) {
		time.Sleep(50 * time.Microsecond) // it is for the test to mend it
		return context.DeadlineExceeded
	}
	if err != nil {
		return err
	}
	// Nobody can begin the next round without this one.
	n := s.word(barrierRounds).Load()
	bit := uint64(1) << place
	if before := s.word(barrierPlaces + int(n%8)).Or(bit); before&bit != 0 || place >= s.Tools.Barrier.Parties() {
		s.wrong("place %d again in round %d", place, n)
	}
	return nil
}

func TestBarrierRandomKills(t *testing.T) {
	checkLeaks(t)
	w := newWeather(t, "barrier")
	b := w.k.Barrier
	mend := func() {
		if b.Broken() {
			b.Reset()
		}
	}
	w.rage(40, func(stopped int) {
		if stopped >= 0 {
			return // all wait for it, and rightly
		}
		w.goOn(-1, mend)
		done := w.block.Word(barrierRounds).Load() + 2
		for end := time.Now().Add(deadline); w.block.Word(barrierRounds).Load() < done; runtime.Gosched() {
			mend()
			if time.Now().After(end) {
				t.Fatalf("no rounds any more: %d wait, broken: %v", b.Waiting(), b.Broken())
			}
		}
	})
	w.end()
}

// Value: numbers that belong together, changed in one step; and one that is changed in
// two, under the lock of the value.

type stormSums struct {
	Of  [4]int64
	All int64
}

func (v stormSums) wrong() bool { return v.Of[0]+v.Of[1]+v.Of[2]+v.Of[3] != v.All }

const (
	valueToken = wordKind
	valueAdded = wordKind + 1 // by each process
)

func valueRound(s *squall, random *rand.Rand) error {
	ctx, cancel := sometimes(!s.Calm, random)
	defer cancel()
	n := s.Tools.Number
	h, err := n.Lock().Acquire(ctx)
	if err != nil {
		return err
	}
	if last := s.word(valueToken).Swap(h.Token()); last >= h.Token() {
		s.wrong("token %d after %d", h.Token(), last)
	}
	v := n.Get()
	if err := n.Set(v + 1); err != nil {
		return err
	}
	if now := n.Get(); now != v+1 {
		s.wrong("value %d after %d, with the lock held", now, v)
	}
	if err := h.Release(); err != nil {
		return err
	}
	sums, err := s.Tools.Sums.Update(func(v stormSums) stormSums {
		v.Of[s.Me%len(v.Of)]++
		v.All++
		return v
	})
	if sums.wrong() || s.Tools.Sums.Get().wrong() {
		s.wrong("torn value %v", sums)
	}
	s.word(valueAdded + s.Me).Add(1)
	return err
}

func TestValueRandomKills(t *testing.T) {
	checkLeaks(t)
	w := newWeather(t, "value")
	w.rage(40, func(stopped int) {
		if stopped < 0 {
			w.goOn(-1, nil)
		}
		if v := w.k.Sums.Get(); v.wrong() {
			t.Fatalf("torn value %v", v)
		}
	})
	w.end()
	// Who is killed may have added and not counted it.
	sums, kills := w.k.Sums.Get(), int64(w.kills+len(w.procs))
	for i, n := range sums.Of {
		if added := int64(w.block.Word(valueAdded + i).Load()); n < added || n > added+kills {
			t.Errorf("process %d has added %d times, and the sum is %d", i, added, n)
		}
	}
	if n := w.k.Number.Get(); n < sums.All || n > sums.All+kills {
		t.Errorf("the number is %d, the sum %d, with %d kills", n, sums.All, kills)
	}
}
