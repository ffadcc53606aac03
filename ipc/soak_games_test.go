package ipc

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// A soakHand is one goroutine: hands are numbered by process, game, and number in the
// process.
type soakHand int

const (
	soakEach  = 2 // hands of one process in one game
	soakAll   = soakProcs * soakEach
	soakHands = soakHand(soakAll * len(soakGames))
)

// soakGames says what a hand does in one turn. An error that is late is no success.
var soakGames [10]soakGame

type soakGame struct {
	name string
	cast int // which hands it needs
	play func(p *player) error
}

func (h soakHand) proc() int   { return int(h) / (soakEach * len(soakGames)) }
func (h soakHand) game() int   { return int(h) / soakEach % len(soakGames) }
func (h soakHand) number() int { return h.proc()*soakEach + int(h)%soakEach } // in its game

func handOf(game, number int) soakHand {
	return soakHand((number/soakEach*len(soakGames)+game)*soakEach + number%soakEach)
}

func (h soakHand) String() string { return fmt.Sprintf("%s %d", soakGames[h.game()].name, h.number()) }

// A soakTable is what they play with.
type soakTable struct {
	Tools  tools
	Lock   *Lock
	Ring   []*Event
	Pulse  *Event
	Queue  *Queue[[]byte]
	Tasks  *JoinableQueue[int]
	Inside *Block   // of those who hold the lock
	Blocks []*Block // of each game, with the words of a storm
	Board  *Block   // of each hand: successes, and turns; and then the cast
}

func newSoakTable(t *testing.T) soakTable {
	t.Helper()
	s := soakTable{
		Tools: tools{
			RLock: newTestRLock(t), Semaphore: newTestSemaphore(t, SemaphoreOptions{Permits: stormPermits}),
			Condition: newTestCondition(t), Barrier: newTestBarrier(t, soakAll),
			Number: mustMake[*Value[int64]](t)(NewValue("", int64(0))),
			Sums:   mustMake[*Value[stormSums]](t)(NewValue("", stormSums{})),
		},
		Lock:   newTestLock(t, LockOptions{}),
		Pulse:  newTestEvent(t),
		Queue:  newTestQueue[[]byte](t, QueueOptions{Items: 2, Bytes: 64 << 10}),
		Tasks:  newTestJoinable[int](t, QueueOptions{Items: 3, Redeliver: true}),
		Inside: mustMake[*Block](t)(NewBlock(8)),
		Board:  mustMake[*Block](t)(NewBlock(2*int(soakHands) + 1)),
	}
	s.Tools.Full = mustMake[*Condition](t)(NewCondition("full", s.Tools.Condition.Lock()))
	for range soakAll {
		s.Ring = append(s.Ring, newTestEvent(t))
	}
	for range soakGames {
		s.Blocks = append(s.Blocks, mustMake[*Block](t)(NewBlock(stormWords)))
	}
	s.Ring[0].Set()
	return s
}

func (s *soakTable) successes(h soakHand) *atomic.Uint64 { return s.Board.Word(2 * int(h)) }
func (s *soakTable) turns(h soakHand) *atomic.Uint64     { return s.Board.Word(2*int(h) + 1) }
func (s *soakTable) cast() *atomic.Uint64                { return s.Board.Word(2 * int(soakHands)) }

// What hands a game needs.
const (
	all  = iota
	both // somebody with an even number and somebody with an odd one
	any2 // any two: one can be polite
)

// A cast says which hands play, by their numbers, in those games that do not need all;
// and whether those are polite: who has succeeded lets another one succeed before it
// comes again. In a game of few there is nobody who by chance makes good what was lost.
const (
	castAll    = 1<<soakAll - 1
	castPolite = 1 << soakAll
)

// newCast draws one in which somebody has an even number, and somebody an odd one.
func newCast(random *rand.Rand) uint64 {
	two := uint64(1)<<(2*random.IntN(soakAll/2)) | 1<<(2*random.IntN(soakAll/2)+1)
	more := [...]uint64{0, 0, random.Uint64() & castAll, castAll}[random.IntN(4)]
	return two | more | random.Uint64()&castPolite
}

// revive does for the successors of process i what they cannot know of: the dead may have
// taken the token of the ring with it, and no place in a semaphore's block is theirs yet.
func (s *soakTable) revive(i int) {
	for n := i * soakEach; n < (i+1)*soakEach; n++ {
		for g, game := range soakGames {
			if game.name == "semaphore" {
				s.Blocks[g].Word(semInside).And(^(uint64(1) << n))
			}
		}
		s.Ring[n].Set()
	}
}

// wrong tells in which game something was seen that must not be; those who saw it have
// said more.
func (s *soakTable) wrong() string {
	for g, b := range s.Blocks {
		if b.Word(wordWrong).Load() != 0 {
			return "something was wrong with the " + soakGames[g].name
		}
	}
	if s.Inside.Word(blockWrong).Load() != 0 {
		return "the lock let in two"
	}
	return ""
}

// lines tells who waits for what.
func (s *soakTable) lines() string {
	k := s.Tools
	text := fmt.Sprintf("lock: process %d holds it, in line %d\n", s.Lock.x.Owner(), s.Lock.x.Line())
	text += fmt.Sprintf("rlock: process %d holds it, in line %d\n", k.RLock.r.x.Owner(), k.RLock.r.x.Line())
	text += fmt.Sprintf("value: process %d holds its lock, in line %d\n", k.Number.Lock().x.Owner(), k.Number.Lock().x.Line())
	text += fmt.Sprintf("semaphore: %d free, in line %d\n", k.Semaphore.Value(), k.Semaphore.x.Line())
	for i, e := range s.Ring {
		text += fmt.Sprintf("ring %d: set %v, in line %d\n", i, e.IsSet(), e.x.Line())
	}
	text += fmt.Sprintf("pulse: set %v, in line %d\n", s.Pulse.IsSet(), s.Pulse.x.Line())
	lock := k.Condition.Lock().r.x
	text += fmt.Sprintf("condition: process %d holds the lock, in line %d; %d wait for items, %d for room\n",
		lock.Owner(), lock.Line(), k.Condition.Waiting(), k.Full.Waiting())
	text += fmt.Sprintf("barrier: %d have come, broken %v\n", k.Barrier.Waiting(), k.Barrier.Broken())
	text += fmt.Sprintf("queue: %d items, full %v, %d get, %d put\n", s.Queue.Len(), s.Queue.Full(), s.Queue.Getting(), s.Queue.Putting())
	unfinished, err := s.Tasks.Unfinished()
	return text + fmt.Sprintf("tasks: %d items, full %v, %d get, %d put, %d unfinished, %v\n",
		s.Tasks.Len(), s.Tasks.Full(), s.Tasks.Getting(), s.Tasks.Putting(), unfinished, err)
}

// A player is a hand with what it plays with.
type player struct {
	squall
	k      *soakTable
	hand   soakHand
	random *rand.Rand
	sent   uint32            // to the queue
	last   map[uint64]uint32 // what came last, by who sent it
}

// turn plays once, if it is in the cast.
func (p *player) turn() error {
	cast := p.k.cast().Load()
	game := soakGames[p.hand.game()]
	if game.cast == all {
		return game.play(p)
	}
	if cast>>p.Me&1 == 0 {
		time.Sleep(200 * time.Microsecond) // a rest
		return nil
	}
	before := p.wins()
	if err := game.play(p); err != nil {
		return err
	}
	p.word(wordBeat + p.Me).Add(1)
	for game.cast == any2 && cast&castPolite != 0 && p.k.cast().Load() == cast && p.wins() == before {
		time.Sleep(20 * time.Microsecond)
	}
	return nil
}

// wins returns how often others have succeeded.
func (p *player) wins() (sum uint64) {
	for n := range soakAll {
		if n != p.Me {
			sum += p.word(wordBeat + n).Load()
		}
	}
	return sum
}

func (p *player) context() (context.Context, context.CancelFunc) { return sometimes(!p.Calm, p.random) }

func storm(name string) func(p *player) error {
	return func(p *player) error { return storms[name](&p.squall, p.random) }
}

func init() {
	soakGames = [...]soakGame{
		{"lock", any2, lockGame}, {"rlock", any2, storm("rlock")}, {"value", any2, storm("value")},
		{"semaphore", any2, storm("semaphore")}, {"condition", both, storm("condition")},
		{"queue", both, queueGame}, {"tasks", both, tasksGame},
		{"barrier", all, barrierGame}, {"ring", all, ringGame}, {"pulse", all, pulseGame},
	}
}

func lockGame(p *player) error {
	ctx, cancel := p.context()
	defer cancel()
	h, err := p.k.Lock.Acquire(ctx)
	if err != nil {
		return err
	}
	inside(p.k.Inside, h)
	return h.Release()
}

// A barrier that is broken is mended by one hand.
func barrierGame(p *player) error {
	if b := p.Tools.Barrier; p.Me == 0 && b.Broken() {
		if err := b.Reset(); err != nil {
			return err
		}
	}
	return storms["barrier"](&p.squall, p.random)
}

// One event is set; whoever waits for it sets the next.
func ringGame(p *player) error {
	ctx, cancel := p.context()
	defer cancel()
	mine, next := p.k.Ring[p.Me], p.k.Ring[(p.Me+1)%soakAll]
	if err := mine.Wait(ctx); err != nil {
		return err
	}
	return errors.Join(mine.Clear(), next.Set())
}

// One hand sets an event and clears it at once, and does so again when all have gone on
// that it saw in line.
func pulseGame(p *player) error {
	e := p.k.Pulse
	if p.Me != 0 {
		ctx, cancel := p.context()
		defer cancel()
		return e.Wait(ctx)
	}
	if err := e.Clear(); err != nil { // the one before may have died between set and clear
		return err
	}
	var before [soakProcs][2]uint64
	for i := range before {
		before[i] = p.pulseOf(i)
	}
	line := e.x.Line()
	if len(line) == 0 {
		time.Sleep(50 * time.Microsecond) // it is for them to come
		return context.DeadlineExceeded
	}
	if err := errors.Join(e.Set(), e.Clear()); err != nil {
		return err
	}
	for i, b := range before {
		for slices.Contains(line, int(b[0])) && p.pulseOf(i) == b {
			time.Sleep(20 * time.Microsecond)
		}
	}
	return nil
}

// pulseOf returns the pid of process i, and how many turns those of its hands have had
// who wait for the pulse.
func (p *player) pulseOf(i int) (x [2]uint64) {
	x[0] = p.word(wordPid + i*soakEach + 1).Load()
	for n := max(i*soakEach, 1); n < (i+1)*soakEach; n++ {
		x[1] += p.k.turns(handOf(p.hand.game(), n)).Load()
	}
	return x
}

// Half put and half get. An item is who put it, its number, and some more bytes.
func queueGame(p *player) error {
	ctx, cancel := p.context()
	defer cancel()
	if p.Me%2 == 0 {
		from := uint64(os.Getpid())<<16 | uint64(p.Me)
		var items [][]byte
		for range 1 + p.random.IntN(3)/2 {
			b := binary.BigEndian.AppendUint64(nil, from)
			b = binary.BigEndian.AppendUint32(b, p.sent+uint32(len(items))+1)
			size := p.random.IntN(100)
			if p.random.IntN(50) == 0 {
				size = p.random.IntN(60000)
			}
			items = append(items, append(b, bytes.Repeat(b[11:12], size)...))
		}
		n, err := p.k.Queue.PutAll(ctx, items)
		p.sent += uint32(n)
		return err
	}
	items, err := p.k.Queue.GetUpTo(ctx, 1+p.random.IntN(3))
	for _, b := range items {
		from, n := binary.BigEndian.Uint64(b), binary.BigEndian.Uint32(b[8:])
		if n <= p.last[from] || !bytes.Equal(b[12:], bytes.Repeat(b[11:12], len(b)-12)) {
			p.wrong("item %d of %d bytes after item %d", n, len(b), p.last[from])
		}
		p.last[from] = n
	}
	return err
}

// Half put some and wait until all is done; half do it.
func tasksGame(p *player) error {
	ctx, cancel := p.context()
	defer cancel()
	q := p.k.Tasks
	if p.Me%2 != 0 {
		task, err := q.Take(ctx)
		if err != nil {
			return err
		}
		p.pause()
		return task.Done()
	}
	for range 1 + p.random.IntN(3) {
		if err := q.Put(ctx, p.Me); err != nil {
			return err
		}
	}
	return q.Join(ctx)
}
