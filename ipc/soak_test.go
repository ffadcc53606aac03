package ipc

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A soak is a long random schedule, to find lost wake-ups. Four processes play ten games,
// each with one kind of object and in each process with two goroutines, its hands. Every
// game is closed: its hands wait for nothing but what its other hands do, and at any
// moment, also after a death, each of them comes to its next success without help from
// outside, if only no wake-up is lost. Whoever has had none for long has stalled.
//
// Sleepers look again by themselves after 10 to 100 ms, which would mend what was lost.
// So where nobody dies or stops they do not do so, in a build with kill points.

const (
	soakProcs    = 4
	soakPatience = 100 // looks, 100 ms apart or more, without a success
)

// A soakMode says what happens to those who play.
type soakMode struct {
	name         string
	late         bool // contexts end
	kills, stops bool
}

var soakModes = []soakMode{
	{name: "calm"},
	{name: "late", late: true},
	{name: "stops", late: true, stops: true},
	{name: "kills", late: true, kills: true},
	{name: "all", late: true, stops: true, kills: true},
}

// TestSoak takes MULTIPROC_SOAK, a duration, in equal parts for all modes, with the
// choices of MULTIPROC_SEED.
func TestSoak(t *testing.T) {
	length, seed := 2500*time.Millisecond, rand.Uint64()
	if s := os.Getenv("MULTIPROC_SOAK"); s != "" {
		length = must(time.ParseDuration(s))
	}
	if s := os.Getenv("MULTIPROC_SEED"); s != "" {
		must(fmt.Sscan(s, &seed))
	}
	for _, m := range soakModes {
		t.Run(m.name, func(t *testing.T) {
			checkLeaks(t)
			t.Logf("MULTIPROC_SEED=%d", seed)
			s := newSoak(t, m, seed)
			s.run(length / time.Duration(len(soakModes)))
			s.end()
		})
	}
}

// A soak as the test sees it.
type soak struct {
	t      *testing.T
	mode   soakMode
	seed   uint64
	random *rand.Rand
	table  soakTable
	procs  [soakProcs]*child
	births uint64
	until  [soakProcs]time.Time // stopped; zero: not
	permit bool                 // is held here
	before [soakHands]uint64    // successes when the cast was drawn
	casts  int

	seen    [soakHands]uint64 // successes at the last look
	idle    [soakHands]int    // looks since the last one
	longest [soakHands]int
	kills   int
	stops   int
}

func newSoak(t *testing.T, m soakMode, seed uint64) *soak {
	t.Helper()
	s := &soak{t: t, mode: m, seed: seed, random: rand.New(rand.NewPCG(seed, 1)), table: newSoakTable(t)}
	for i := range s.procs {
		s.spawn(i)
	}
	return s
}

// spawn starts process i, and undoes what the one before it may have left undone: see
// the games.
func (s *soak) spawn(i int) {
	s.t.Helper()
	s.births++
	s.procs[i] = start(s.t, "soak")
	s.procs[i].send(soakOrder{Table: s.table, Proc: i, Seed: s.seed + s.births<<32, Late: s.mode.late, NoNaps: !s.mode.kills && !s.mode.stops})
	s.table.revive(i)
	for h := range soakHands {
		if h.proc() == i {
			s.idle[h] = 0
		}
	}
}

// run plays for so long, and then until each hand has had one more success.
func (s *soak) run(length time.Duration) {
	s.t.Helper()
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	act := time.NewTimer(0)
	defer act.Stop()
	for end, over := time.After(length), false; !over || !s.recast(); {
		select {
		case <-end:
			over = true
			s.goOn(time.Now().Add(time.Hour))
			s.note()
		case <-look.C:
			s.look()
		case <-act.C:
			if !over {
				s.act()
				s.recast()
			}
			act.Reset(time.Duration(s.random.IntN(40)) * time.Millisecond)
		}
	}
}

func (s *soak) note() {
	for h := range soakHands {
		s.before[h] = s.table.successes(h).Load()
	}
}

// recast draws another cast if each hand of this one has had a success: not before, for
// the newcomers might make good what was lost.
func (s *soak) recast() bool {
	for h := range soakHands {
		if s.table.successes(h).Load() == s.before[h] {
			return false
		}
	}
	s.casts++
	s.table.cast().Store(newCast(s.random))
	s.note()
	if sem := s.table.Tools.Semaphore; s.permit {
		s.permit = sem.Release() != nil
	} else if s.random.IntN(2) == 0 {
		s.permit, _ = sem.TryAcquire() // so that they have to wait for the other one
	}
	return true
}

// goOn lets those go on who have been stopped for long enough.
func (s *soak) goOn(now time.Time) {
	s.t.Helper()
	for i, until := range s.until {
		if !until.IsZero() && now.After(until) {
			s.procs[i].signal(sigcont)
			s.until[i] = time.Time{}
		}
	}
}

// act kills, or stops for a moment, somebody at random.
func (s *soak) act() {
	s.t.Helper()
	s.goOn(time.Now())
	i := s.random.IntN(soakProcs)
	kill := s.mode.kills && (!s.mode.stops || s.random.IntN(2) == 0)
	switch {
	case kill:
		s.procs[i].kill()
		s.procs[i].Close()
		s.until[i] = time.Time{}
		s.kills++
		s.spawn(i)
	case s.mode.stops && s.until[i].IsZero():
		s.procs[i].stop()
		s.until[i] = time.Now().Add(time.Duration(s.random.IntN(50)) * time.Millisecond)
		s.stops++
	}
}

// look sees whether each hand has had a success since.
func (s *soak) look() {
	s.t.Helper()
	for i, p := range s.procs {
		if !running(p.cmd.Process.Pid) {
			s.t.Fatalf("process %d has ended by itself", i)
		}
	}
	if wrong := s.table.wrong(); wrong != "" {
		s.t.Fatal(wrong)
	}
	for h := range soakHands {
		now := s.table.successes(h).Load()
		if now != s.seen[h] {
			s.seen[h], s.idle[h] = now, 0
			continue
		}
		if s.idle[h]++; s.idle[h] >= soakPatience {
			s.stalled(h)
		}
		s.longest[h] = max(s.longest[h], s.idle[h])
	}
}

// stalled tells what all were doing, and has the processes print their stacks.
func (s *soak) stalled(h soakHand) {
	s.t.Helper()
	s.t.Logf("%v of process %d has stalled, after %d kills and %d stops", h, s.procs[h.proc()].cmd.Process.Pid, s.kills, s.stops)
	s.t.Log(s.table.lines())
	var b strings.Builder
	for h := range soakHands {
		if s.idle[h] == 0 {
			continue
		}
		fmt.Fprintf(&b, "%v of process %d: %d successes of %d turns, the last one %d looks ago\n", h,
			s.procs[h.proc()].cmd.Process.Pid, s.seen[h], s.table.turns(h).Load(), s.idle[h])
	}
	s.t.Log(b.String())
	for _, p := range s.procs {
		fmt.Fprintf(os.Stderr, "\nthe stacks of process %d:\n", p.cmd.Process.Pid)
		p.signal(syscall.SIGQUIT)
		p.signal(sigcont)
		p.cmd.Wait()
		p.dead = true
	}
	s.t.FailNow()
}

// end kills all, and looks at what they leave.
func (s *soak) end() {
	for _, p := range s.procs {
		p.kill()
		p.Close()
	}
	if s.permit {
		s.table.Tools.Semaphore.Release()
	}
	if n := s.table.Tools.Semaphore.Value(); n != stormPermits {
		s.t.Errorf("%d permits are left of %d", n, stormPermits)
	}
	worst, sum := soakHand(0), uint64(0)
	for h := range soakHands {
		sum += s.table.successes(h).Load()
		if s.longest[h] > s.longest[worst] {
			worst = h
		}
	}
	s.t.Logf("%d successes in %d casts; %d kills, %d stops; %v went longest without one, for %d looks", sum, s.casts, s.kills, s.stops, worst, s.longest[worst])
}

// A soakOrder is what one process gets.
type soakOrder struct {
	Table  soakTable
	Proc   int
	Seed   uint64
	Late   bool
	NoNaps bool
}

// noNaps has sleepers not look again by themselves, and waver has this process give its
// processor to another at every n-th point, in a build that can.
var (
	noNaps = func() {}
	waver  = func(n uint32) {}
)

func init() {
	helpers["soak"] = func(c *Conn) error {
		var o soakOrder
		if err := c.Recv(context.Background(), &o); err != nil {
			return err
		}
		endWith(c)
		waver(100)
		if o.NoNaps {
			noNaps()
		}
		ended := make(chan error)
		for h := range soakHands {
			if h.proc() == o.Proc {
				go func() { ended <- o.play(h) }()
			}
		}
		return <-ended
	}
}

// play plays one hand for ever.
func (o *soakOrder) play(h soakHand) error {
	k := &o.Table
	p := &player{
		k: k, hand: h, random: rand.New(rand.NewPCG(o.Seed, uint64(h))), last: map[uint64]uint32{},
		squall: squall{Tools: k.Tools, Block: k.Blocks[h.game()], Me: h.number(), Calm: !o.Late},
	}
	p.word(wordPid + p.Me).Store(uint64(os.Getpid()))
	for {
		err := p.turn()
		k.turns(h).Add(1)
		switch {
		case err == nil:
			k.successes(h).Add(1)
		case !late(err):
			return fmt.Errorf("%v: %w", h, err)
		}
		p.pause()
	}
}

// pause lets the game be busy at times, and quiet at others.
func (p *player) pause() {
	switch n := p.random.IntN(100); {
	case n < 5:
		time.Sleep(time.Duration(p.random.IntN(2000)) * time.Microsecond)
	case n < 30:
		for range p.random.IntN(2000) {
			p.word(wordPid).Load()
		}
	}
}
