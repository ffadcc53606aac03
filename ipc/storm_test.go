package ipc

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// A storm is four processes that use one object, of which one is killed, or stopped for
// a moment, at a random moment, again and again. The object was made by a fifth one,
// which is killed as well: nobody who is left has anything to do with it. And two of the
// four are strangers to the others; see nest.

// A squall is what one process of a storm gets.
type squall struct {
	Tools tools
	Block *Block
	Me    int // 0 to 3; in a soak there are more
	Seed  uint64
	Calm  bool // never gives up
}

// The words of the block of a storm. Each process has its own beat and pid.
const (
	wordBeat  = 0 // how often the process has come round
	wordPid   = 8
	wordWrong = 16 // what was seen that must not be
	wordKind  = 18

	stormMost  = 8 // numbers, Me
	stormWords = 48
)

func (s *squall) word(i int) *atomic.Uint64 { return s.Block.Word(i) }

func (s *squall) wrong(format string, args ...any) {
	if s.word(wordWrong).Add(1) == 1 {
		fmt.Fprintf(os.Stderr, "process %d: %s\n", s.Me, fmt.Sprintf(format, args...))
	}
}

// storms says what each kind of process does in one round. An error that is late says
// that it gave up, and nothing else has happened.
var storms = map[string]func(s *squall, random *rand.Rand) error{
	"rlock":     rlockRound,
	"semaphore": semaphoreRound,
	"event":     eventRound,
	"condition": conditionRound,
	"barrier":   barrierRound,
	"value":     valueRound,
}

func init() {
	for name, round := range storms {
		helpers["storm "+name] = func(c *Conn) error {
			var s squall
			if err := c.Recv(context.Background(), &s); err != nil {
				return err
			}
			endWith(c)
			s.word(wordPid + s.Me).Store(uint64(os.Getpid()))
			random := rand.New(rand.NewPCG(s.Seed, 0))
			for {
				if err := round(&s, random); err != nil && !late(err) {
					return err
				}
				s.word(wordBeat + s.Me).Add(1)
			}
		}
	}
}

// weather is a storm as the test sees it.
type weather struct {
	t     *testing.T
	kind  string
	k     tools
	block *Block
	nest  *nest
	procs [4]*child
	kills int
}

// newWeather starts the four processes, and then kills the founder.
func newWeather(t *testing.T, kind string) *weather {
	t.Helper()
	block, err := NewBlock(stormWords)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { block.Close() })
	f, k := found(t, founding{})
	w := &weather{t: t, kind: kind, k: k.Tools, block: block, nest: newNest(t)}
	for i := range w.procs {
		w.spawn(i)
	}
	f.kill()
	f.Close()
	return w
}

func (w *weather) spawn(i int) {
	w.t.Helper()
	if w.kind == "semaphore" {
		w.block.Word(semInside).And(^(uint64(1) << i)) // of the dead
	}
	w.procs[i] = w.nest.startMixed(i, "storm "+w.kind)
	w.procs[i].send(squall{Tools: w.k, Block: w.block, Me: i, Seed: rand.Uint64()})
}

func (w *weather) pid(i int) int { return w.procs[i].cmd.Process.Pid }

func (w *weather) beat(i int) uint64 { return w.block.Word(wordBeat + i).Load() }

// rage kills and stops, and calls check after each: with the process that is stopped, or
// −1 when all are well.
func (w *weather) rage(few int, check func(stopped int)) {
	w.t.Helper()
	n := rounds(w.t, few)
	for range n {
		time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond) // the random moment
		i := rand.IntN(len(w.procs))
		if rand.IntN(4) == 0 {
			w.procs[i].stop()
			check(i)
			w.procs[i].signal(sigcont)
		} else {
			w.procs[i].kill()
			w.procs[i].Close()
			w.kills++
			w.spawn(i)
		}
		check(-1)
		if wrong := w.block.Word(wordWrong).Load(); wrong != 0 {
			w.t.Fatalf("%d things were wrong", wrong)
		}
	}
	w.t.Logf("%d rounds, %d kills, beats %d %d %d %d", n, w.kills, w.beat(0), w.beat(1), w.beat(2), w.beat(3))
}

// goOn waits until each process, but for the one that is stopped, has come round.
func (w *weather) goOn(stopped int, meanwhile func()) {
	w.t.Helper()
	for i := range w.procs {
		before := w.beat(i)
		for end := time.Now().Add(deadline); i != stopped && w.beat(i) == before; runtime.Gosched() {
			if meanwhile != nil {
				meanwhile()
			}
			if time.Now().After(end) {
				w.t.Fatalf("process %d hangs (stopped: %d, kills: %d)", i, stopped, w.kills)
			}
		}
	}
}

// end kills all.
func (w *weather) end() {
	for _, p := range w.procs {
		p.kill()
		p.Close()
	}
}

// sometimes returns a context that ends soon, now and then. It names an owner of its own.
func sometimes(yes bool, random *rand.Rand) (context.Context, context.CancelFunc) {
	ctx := WithOwner(context.Background())
	if yes && random.IntN(4) == 0 {
		return context.WithTimeout(ctx, time.Duration(random.IntN(300))*time.Microsecond)
	}
	return context.WithCancel(ctx)
}

func late(err error) bool { return err == context.DeadlineExceeded }

// RLock: exclusion, by token.

const (
	rlockToken  = wordKind
	rlockInside = wordKind + 1
)

func rlockRound(s *squall, random *rand.Rand) error {
	ctx, cancel := sometimes(!s.Calm, random)
	defer cancel()
	var held []RHeld
	for range 1 + random.IntN(3) {
		h, err := s.Tools.RLock.Acquire(ctx)
		if late(err) && len(held) > 0 {
			s.wrong("late for a lock that is held")
		}
		if err != nil {
			return err
		}
		held = append(held, h)
	}
	h := held[0]
	if last := s.word(rlockToken).Swap(h.Token()); last >= h.Token() {
		s.wrong("token %d after %d", h.Token(), last)
	}
	if before := s.word(rlockInside).Swap(h.Token()); before != 0 && !h.OwnerDied() {
		s.wrong("token %d inside beside %d", h.Token(), before)
	}
	for range 20 {
		if now := s.word(rlockInside).Load(); now != h.Token() {
			s.wrong("token %d came in beside %d", now, h.Token())
		}
	}
	s.word(rlockInside).Store(0)
	for _, h := range held {
		if err := h.Release(); err != nil {
			return err
		}
	}
	return nil
}

func TestRLockRandomKills(t *testing.T) {
	checkLeaks(t)
	w := newWeather(t, "rlock")
	w.rage(40, func(stopped int) {
		if stopped < 0 {
			w.goOn(-1, nil)
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		h, err := w.k.RLock.Acquire(ctx)
		if err != nil {
			if owner := w.k.RLock.r.x.Owner(); owner != w.pid(stopped) {
				t.Fatalf("process %d is stopped, %d holds the lock: %v", w.pid(stopped), owner, err)
			}
			return
		}
		if w.block.Word(rlockInside).Load() != 0 && !h.OwnerDied() {
			t.Fatal("somebody is inside")
		}
		w.block.Word(rlockInside).Store(0)
		mustUnlock(t, h)
	})
	w.end()
}

// Semaphore: never more than there are permits, and all are there in the end.

const (
	stormPermits = 2
	semInside    = wordKind // a bit for each process
)

func semaphoreRound(s *squall, random *rand.Rand) error {
	sem := s.Tools.Semaphore
	if random.IntN(4) == 0 {
		if ok, err := sem.TryAcquire(); !ok {
			return cmp.Or(err, context.DeadlineExceeded)
		}
	} else {
		ctx, cancel := sometimes(!s.Calm, random)
		err := sem.Acquire(ctx)
		cancel()
		if err != nil {
			return err
		}
	}
	me := uint64(1) << s.Me
	var pids [stormMost]uint64 // from before: a later one did not set the bit
	for i := range pids {
		pids[i] = s.word(wordPid + i).Load()
	}
	in := s.word(semInside).Or(me) | me
	if bits.OnesCount64(in) > stormPermits {
		s.crowded(in, pids)
	}
	for range random.IntN(2000) {
		s.word(semInside).Load()
	}
	s.word(semInside).And(^me)
	if v := sem.Value(); v > stormPermits-1 {
		s.wrong("value %d while a permit is held here", v)
	}
	return sem.Release()
}

// crowded: the dead have left their bits behind, which do not count.
func (s *squall) crowded(in uint64, pids [stormMost]uint64) {
	living := 0
	for i := range pids {
		if in>>i&1 != 0 && (i == s.Me || running(int(pids[i]))) {
			living++
		}
	}
	if living > stormPermits {
		s.wrong("%b inside, with %d permits", in, stormPermits)
	}
}

// running tells whether the process is neither gone nor a zombie.
func running(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	f := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	return f[0][0] != 'Z' && f[0][0] != 'X'
}

func TestSemaphoreRandomKills(t *testing.T) {
	checkLeaks(t)
	w := newWeather(t, "semaphore")
	s := w.k.Semaphore
	w.rage(40, func(stopped int) {
		// The stopped one uses one permit at the most: the other one goes round.
		w.goOn(stopped, nil)
		if err := s.Acquire(within(t)); err != nil {
			t.Fatalf("stopped: %d: %v", stopped, err)
		}
		if err := s.Release(); err != nil {
			t.Fatal(err)
		}
	})
	w.end()
	wantValue(t, s, stormPermits)
	for range stormPermits {
		if ok, err := s.TryAcquire(); !ok || err != nil {
			t.Fatalf("a permit is lost: %v, %v", ok, err)
		}
	}
	if ok, err := s.TryAcquire(); ok || err != nil {
		t.Fatalf("a permit too many: %v, %v", ok, err)
	}
}

// Event: who waits when it is set goes on, though it is cleared at once.
