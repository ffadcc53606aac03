package ipc

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// stateOfText reads a row of the table below: "a 1/7 b#3" is lock a, held by process 1 under token 7,
// who waits for b for the third time; "a" is free, "a 1/7" is held by one who does not wait; a
// "!" behind it is a wait that cannot be refused. Keys are the letters, and who waits for
// the n-th time began n seconds after 1970.
func stateOfText(t *testing.T, text string) (s LockState) {
	t.Helper()
	var lock, what string
	fmt.Sscanf(text, "%s %d/%d %s", &lock, &s.PID, &s.Token, &what)
	s.Name, s.Key = lock, uint64(lock[0])
	if what == "" {
		return s
	}
	var n int64
	if _, err := fmt.Sscanf(what[1:], "#%d", &n); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	s.Wait = LockWait{Number: uint64(n), Key: uint64(what[0]), Since: time.Unix(n, 0), Firm: strings.HasSuffix(what, "!")}
	return s
}

func statesOfText(t *testing.T, text string) (all []LockState) {
	t.Helper()
	for row := range strings.SplitSeq(text, ", ") {
		all = append(all, stateOfText(t, row))
	}
	return all
}

// deadlockText tells a deadlock as "1 holds a waits b; 2 …", and whom to refuse.
func deadlockText(d Deadlock) string {
	var parties []string
	for _, p := range d.Parties {
		var held []string
		for _, s := range p.Holds {
			held = append(held, s.Name)
		}
		parties = append(parties, fmt.Sprintf("%d holds %s waits %s", p.PID, strings.Join(held, "+"), p.Waits.Name))
	}
	text := strings.Join(parties, "; ")
	if i, ok := d.Youngest(); ok {
		text += fmt.Sprintf(" (%d)", d.Parties[i].PID)
	}
	return text
}

func TestDeadlocks(t *testing.T) {
	for _, c := range []struct{ name, before, now, want string }{
		{"nothing", "a", "a", ""},
		{"one who waits", "a 1/1 b#1, b 2/1", "", ""},
		{"two in opposite order", "a 1/1 b#1, b 2/1 a#2", "", "1 holds a waits b; 2 holds b waits a (2)"},
		{"the oldest wait comes first", "a 1/1 b#2, b 2/1 a#1", "", "2 holds b waits a; 1 holds a waits b (1)"},
		{"oneself", "a 1/1 a#1", "", "1 holds a waits a (1)"},
		{"two goroutines of one process", "a 1/1 b#1, b 1/1 a#2", "", "1 holds a waits b; 1 holds b waits a (1)"},
		{"three", "a 1/1 b#1, b 2/1 c#3, c 3/1 a#2", "", "1 holds a waits b; 2 holds b waits c; 3 holds c waits a (2)"},
		{"two and two", "a 1/1 b#1, b 2/1 a#2, c 3/1 d#1, d 4/1 c#2", "",
			"1 holds a waits b; 2 holds b waits a (2) | 3 holds c waits d; 4 holds d waits c (4)"},
		{"who waits for it from outside", "x 3/1 a#3, a 1/1 b#1, b 2/1 a#2", "", "1 holds a waits b; 2 holds b waits a (2)"},
		{"and in another order", "a 1/1 b#1, b 2/1 a#2, x 3/1 a#3", "", "1 holds a waits b; 2 holds b waits a (2)"},
		{"what else is held", "x 1/1 b#1, a 1/1 b#1, b 2/1 a#2, y 1/1", "", "1 holds a+x waits b; 2 holds b waits a (2)"},
		{"an RLock, taken again: its owner does not wait for it", "a 1/1, b 2/1 a#2", "", ""},
		{"a firm wait is not refused", "a 1/1 b#1, b 2/1 a#2!", "", "1 holds a waits b; 2 holds b waits a (1)"},
		{"all firm", "a 1/1 b#1!, b 2/1 a#2!", "", "1 holds a waits b; 2 holds b waits a"},
		{"of a lock that nobody looks at", "a 1/1 z#1", "", ""},
		{"a lock that is listed twice", "a 1/1 b#1, b 2/1 a#2, a 1/1 b#1", "", "1 holds a waits b; 2 holds b waits a (2)"},

		{"another holding", "a 1/1 b#1, b 2/1 a#2", "a 1/2 b#1, b 2/1 a#2", ""},
		{"another process", "a 1/1 b#1, b 2/1 a#2", "a 3/1 b#1, b 2/1 a#2", ""},
		{"another wait for the same", "a 1/1 b#1, b 2/1 a#2", "a 1/1 b#3, b 2/1 a#2", ""},
		{"since the last look", "a 1/1 b#1, b 2/1", "a 1/1 b#1, b 2/1 a#2", ""},
		{"over", "a 1/1 b#1, b 2/1 a#2", "a, b 2/1 a#2", ""},
		{"one of two is over", "a 1/1 b#1, b 2/1 a#2, c 3/1 d#1, d 4/1 c#2", "a 1/1 b#1, b 2/1 a#2, c 3/1 d#1, d", "1 holds a waits b; 2 holds b waits a (2)"},
	} {
		now := c.now
		if now == "" {
			now = c.before
		}
		var got []string
		for _, d := range Deadlocks(statesOfText(t, c.before), statesOfText(t, now)) {
			got = append(got, deadlockText(d))
		}
		if got := strings.Join(got, " | "); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// findDeadlock looks at locks until there is a deadlock, or until over.
func findDeadlock(t *testing.T, over func() bool, locks ...AnyLock) []Deadlock {
	t.Helper()
	var before []LockState
	for end := time.Now().Add(deadline); ; runtime.Gosched() {
		var now []LockState
		for _, l := range locks {
			now = append(now, l.State())
		}
		if all := Deadlocks(before, now); len(all) > 0 {
			return all
		}
		if over != nil && over() {
			return nil
		}
		if time.Now().After(end) {
			t.Fatalf("no deadlock among %+v", now)
		}
		before = now
	}
}

// crossed returns two processes that wait for each other: a holds the lock and b the rlock.
func crossed(t *testing.T) (k tools, a, b *child) {
	t.Helper()
	k = tools{Lock: newTestLock(t, LockOptions{Name: "lock"}), RLock: newTestRLock(t)}
	a, b = startActor(t, k), startActor(t, k)
	a.do("take", "held")
	b.do("lock", "held")
	b.do("lock", "held") // twice: that is no deadlock
	b.do("unlock", "unlocked")
	a.send("lock")
	until(t, "a says that it waits", func() bool { return k.Lock.State().Wait.Number != 0 })
	b.send("take")
	return k, a, b
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// Two locks in opposite order: who, what and since when, and it is over when one is killed.
func TestDeadlockOfTwoProcesses(t *testing.T) {
	checkLeaks(t)
	for _, victim := range []int{0, 1} {
		begin := time.Now()
		k, a, b := crossed(t)
		d := findDeadlock(t, nil, k.Lock, k.RLock)[0]
		if want := fmt.Sprintf("%d holds lock waits rlock; %d holds rlock waits lock (%d)", a.pid(), b.pid(), b.pid()); deadlockText(d) != want {
			t.Errorf("got %q, want %q", deadlockText(d), want)
		}
		for i, token := range []uint64{1, 1} {
			p := d.Parties[i]
			if p.Holds[0].Token != token || p.Since().Before(begin.Add(-time.Second)) || p.Since().After(time.Now()) {
				t.Errorf("party %d: %+v", i, p)
			}
		}
		dead, other := []*child{a, b}[victim], []*child{b, a}[victim]
		dead.kill()
		other.expect("held, owner died")
		if all := Deadlocks([]LockState{k.Lock.State(), k.RLock.State()}, []LockState{k.Lock.State(), k.RLock.State()}); len(all) > 0 {
			t.Errorf("after the death of one: %+v", all)
		}
	}
}

// Who is refused gives up what he holds; then the other goes on, and he comes after him.
func TestRefuse(t *testing.T) {
	checkLeaks(t)
	k, a, b := crossed(t)
	d := findDeadlock(t, nil, k.Lock, k.RLock)[0]
	lock, rlock := d.Parties[0].Holds[0], d.Parties[1].Holds[0]
	stale := lock
	stale.Wait.Number++
	if k.Lock.Refuse(stale) || k.RLock.Refuse(lock) {
		t.Error("refused a wait that there is not")
	}
	if !k.Lock.Refuse(lock) || k.Lock.Refuse(lock) {
		t.Error("not refused exactly once")
	}
	a.expect(ErrDeadlock.Error())
	if now := k.Lock.State(); now.PID != a.pid() || now.Token != lock.Token || now.Wait != (LockWait{}) {
		t.Errorf("after the refusal: %+v", now)
	}
	a.do("give", "given")
	b.expect("held")
	if k.RLock.Refuse(rlock) {
		t.Error("refused a wait that is over")
	}
	a.send("lock")
	b.do("unlock", "unlocked")
	a.expect("held")
}

// A party that is stopped stays one. It hears of the refusal when it goes on.
func TestDeadlockWithOneThatIsStopped(t *testing.T) {
	checkLeaks(t)
	k, a, b := crossed(t)
	findDeadlock(t, nil, k.Lock, k.RLock)
	a.stop()
	d := findDeadlock(t, nil, k.Lock, k.RLock)[0]
	if !k.Lock.Refuse(d.Parties[0].Holds[0]) {
		t.Error("not refused")
	}
	a.signal(syscall.SIGCONT)
	a.expect(ErrDeadlock.Error())
	a.do("give", "given")
	b.expect("held")
}

// goroutines of this process, each of which does one thing after the other.
type hand chan func()

func newHand(t *testing.T) hand {
	h := make(hand)
	go func() {
		for f := range h {
			f()
		}
	}()
	t.Cleanup(func() { close(h) })
	return h
}

// do has the hand do f, and waits for that; begin does not wait.
func (h hand) do(f func()) {
	done := make(chan bool)
	h <- func() { f(); close(done) }
	<-done
}

func (h hand) begin(f func() error) <-chan error {
	done := make(chan error, 1)
	h <- func() { done <- f() }
	return done
}

// A process is stuck with a lock only if the goroutine that has it waits: not if another one does.
func TestOtherGoroutineIsNotStuck(t *testing.T) {
	checkLeaks(t)
	k := tools{Lock: newTestLock(t, LockOptions{Name: "lock"}), RLock: newTestRLock(t)}
	sign := newTestLock(t, LockOptions{Name: "sign"})
	c := startActor(t, k)
	c.do("lock", "held")
	holder, waiter := newHand(t), newHand(t)
	var held, shown Held
	holder.do(func() { held = mustAcquire(t, k.Lock) })
	waiter.do(func() { shown = mustAcquire(t, sign) })
	c.send("take")
	waited := waiter.begin(func() error {
		h, err := k.RLock.Acquire(within(t))
		return errors.Join(err, h.Release())
	})
	until(t, "both wait", func() bool { return k.RLock.State().Wait.Number != 0 && sign.State().Wait.Number != 0 })
	if s := k.Lock.State(); s.Wait != (LockWait{}) {
		t.Errorf("who has the lock is said to wait: %+v", s)
	}
	now := []LockState{k.Lock.State(), k.RLock.State(), sign.State()}
	if all := Deadlocks(now, now); len(all) > 0 {
		t.Errorf("got %+v", all)
	}
	mustRelease(t, held)
	c.expect("held")
	c.do("unlock", "unlocked")
	if err := result(t, "waiting for the rlock", waited); err != nil {
		t.Error(err)
	}
	mustRelease(t, shown)
}

// Two goroutines may share an RLock, so that neither is known to have to release it.
func TestSharedRLockIsNobodys(t *testing.T) {
	checkLeaks(t)
	r, l, sign := newTestRLock(t), newTestLock(t, LockOptions{}), newTestLock(t, LockOptions{})
	ctx := WithOwner(within(t))
	one, two := newHand(t), newHand(t)
	var levels [2]RHeld
	var shown Held
	one.do(func() { levels[0], shown = mustLock(t, ctx, r), mustAcquire(t, sign) })
	two.do(func() { levels[1] = mustLock(t, ctx, r) })
	held := mustAcquire(t, l)
	waited := one.begin(func() error {
		h, err := l.Acquire(ctx)
		return errors.Join(err, h.Release())
	})
	until(t, "it waits", func() bool { return sign.State().Wait.Number != 0 })
	if s := r.State(); s.Wait != (LockWait{}) {
		t.Errorf("who has the rlock is said to wait: %+v", s)
	}
	mustRelease(t, held)
	if err := result(t, "waiting for the lock", waited); err != nil {
		t.Error(err)
	}
	mustRelease(t, shown)
	mustUnlock(t, levels[0])
	mustUnlock(t, levels[1])
}

// Who waits behind another goroutine of his process is seen and refused as well; and a process
// can be deadlocked with itself.
func TestDeadlockBehindAnotherGoroutine(t *testing.T) {
	checkLeaks(t)
	k := tools{Lock: newTestLock(t, LockOptions{Name: "lock"}), RLock: newTestRLock(t)}
	c := startActor(t, k)
	c.do("lock", "held")
	one, two := newHand(t), newHand(t)
	var held Held
	one.do(func() { held = mustAcquire(t, k.Lock) })
	wait := func() error {
		h, err := k.RLock.Acquire(WithOwner(within(t)))
		if err == nil {
			err = h.Release()
		}
		return err
	}
	first := two.begin(wait)
	untilIs(t, "processes that wait", k.RLock.Waiting, 1)
	second := one.begin(wait)
	c.send("take")
	d := findDeadlock(t, nil, k.Lock, k.RLock)[0]
	if !k.Lock.Refuse(k.Lock.State()) {
		t.Errorf("not refused: %s", deadlockText(d))
	}
	if err := result(t, "the second waiter", second); err != ErrDeadlock {
		t.Errorf("got %v, want %v", err, ErrDeadlock)
	}
	mustRelease(t, held)
	c.expect("held")
	c.do("unlock", "unlocked")
	if err := result(t, "the first waiter", first); err != nil {
		t.Error(err)
	}
}

func TestDeadlockWithOneself(t *testing.T) {
	checkLeaks(t)
	l := newTestLock(t, LockOptions{Name: "lock"})
	one := newHand(t)
	again := one.begin(func() error {
		held := mustAcquire(t, l)
		_, err := l.Acquire(within(t))
		return errors.Join(err, held.Release())
	})
	d := findDeadlock(t, nil, l)[0]
	if len(d.Parties) != 1 || !l.Refuse(d.Parties[0].Holds[0]) {
		t.Errorf("got %s", deadlockText(d))
	}
	if err := result(t, "acquiring twice", again); !errors.Is(err, ErrDeadlock) {
		t.Errorf("got %v, want %v", err, ErrDeadlock)
	}
}

// Condition.Wait returns with its lock held: taking it again is not refused.
func TestConditionIsNotRefused(t *testing.T) {
	checkLeaks(t)
	k := tools{Lock: newTestLock(t, LockOptions{Name: "lock"}), Condition: newTestCondition(t)}
	a, b := startActor(t, k), startActor(t, k)
	a.do("take", "held")
	a.do("lock", "held")
	a.send("await")
	untilIs(t, "waiting", k.Condition.Waiting, 1)
	b.do("lock", "held")
	b.do("notify 1", "1")
	b.send("take")
	d := findDeadlock(t, nil, k.Lock, k.Condition.Lock())[0]
	i, ok := d.Youngest()
	if !ok || d.Parties[i].PID != b.pid() {
		t.Errorf("got %s", deadlockText(d))
	}
	if k.Lock.Refuse(k.Lock.State()) {
		t.Error("a condition was refused its lock")
	}
	if !k.Condition.Lock().Refuse(d.Parties[i].Holds[0]) {
		t.Error("the other one was not refused")
	}
	b.expect(ErrDeadlock.Error())
	b.do("unlock", "unlocked")
	a.expect("notified")
}

// Of what was closed, or belongs to nobody, there is nothing to tell.
func TestStateOfNobody(t *testing.T) {
	handoff := newTestLock(t, LockOptions{Name: "lock", Handoff: true})
	mustAcquire(t, handoff)
	if s := handoff.State(); s.PID != 0 || s.Wait != (LockWait{}) {
		t.Errorf("handoff: %+v", s)
	}
	for _, l := range []AnyLock{new(Lock), new(RLock)} {
		if s := l.State(); s != (LockState{}) || l.Refuse(s) {
			t.Errorf("zero: %+v", s)
		}
	}
	l := newTestLock(t, LockOptions{Name: "lock"})
	mustAcquire(t, l)
	l.Close()
	if s := l.State(); s.PID != 0 {
		t.Errorf("closed: %+v", s)
	}
	if _, err := l.Acquire(context.Background()); !slices.Contains([]error{ErrClosed}, err) {
		t.Errorf("closed: %v", err)
	}
}

// BenchmarkState is what a look costs for each lock.
func BenchmarkState(b *testing.B) {
	l := newTestLock(b, LockOptions{Name: "lock"})
	h, err := l.Acquire(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	defer h.Release()
	b.ReportAllocs()
	for b.Loop() {
		l.State()
	}
}
