package ipc

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func newTestLock(t testing.TB, o LockOptions) *Lock {
	t.Helper()
	l, err := NewLock(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// The helper "locker" gets a lock and then does what it is told, and answers.
func init() { helpers["locker"] = locker }

func locker(c *Conn) error {
	ctx := context.Background()
	var l Lock
	if err := c.Recv(ctx, &l); err != nil {
		return err
	}
	var held Held
	for {
		var op string
		if err := c.Recv(ctx, &op); err != nil {
			return err
		}
		step, cancel := context.WithCancel(ctx)
		if op == "acquire until told" {
			op = "acquire"
			go func() {
				var giveUp string
				c.Recv(ctx, &giveUp)
				cancel()
			}()
		}
		answer, err := lockStep(step, &l, &held, op)
		cancel()
		if err != nil {
			answer = err.Error()
		}
		if err := c.Send(ctx, answer); err != nil {
			return err
		}
	}
}

func lockStep(ctx context.Context, l *Lock, held *Held, op string) (string, error) {
	var err error
	ok := true
	switch op {
	case "acquire":
		*held, err = l.Acquire(ctx)
	case "acquire a while":
		ctx, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		defer cancel()
		*held, err = l.Acquire(ctx)
	case "try":
		*held, ok, err = l.TryAcquire()
	case "release":
		return "released", held.Release()
	case "release any":
		return "released", l.Release()
	case "close":
		l.Close()
		*l, *held = Lock{}, Held{}
		return "closed", untilUnmapped("multiproc-lock")
	}
	switch {
	case err != nil:
		return "", err
	case !ok:
		return "busy", nil
	case held.OwnerDied():
		return "held, owner died", nil
	}
	return "held", nil
}

// untilUnmapped waits until the garbage collector has cleaned up after all locks.
func untilUnmapped(name string) error {
	for end := time.Now().Add(deadline); ; collect() {
		if n, err := mapsOf(name); n == 0 || err != nil {
			return err
		}
		if time.Now().After(end) {
			return errors.New("a lock that was closed stays mapped")
		}
	}
}

// startLocker starts a process that has l.
func startLocker(t *testing.T, l *Lock) *child {
	t.Helper()
	c := start(t, "locker")
	c.send(l)
	return c
}

// do has the process do something and checks its answer.
func (c *child) do(op, want string) {
	c.t.Helper()
	c.send(op)
	c.expect(want)
}

// untilWaiting waits until n processes stand in the queue of l.
func untilWaiting(t *testing.T, l *Lock, n int) {
	t.Helper()
	for end := time.Now().Add(deadline); l.Waiting() != n; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%d processes wait, expected %d", l.Waiting(), n)
		}
	}
}

func mustAcquire(t *testing.T, l *Lock) Held {
	t.Helper()
	h, err := l.Acquire(within(t))
	if err != nil {
		t.Fatalf("acquire: %v", err)
	}
	return h
}

func mustRelease(t *testing.T, h Held) {
	t.Helper()
	if err := h.Release(); err != nil {
		t.Fatalf("release: %v", err)
	}
}

func TestLockBetweenProcesses(t *testing.T) {
	checkLeaks(t)
	l := newTestLock(t, LockOptions{Name: "mutex"})
	a := startLocker(t, l)
	b := startLocker(t, l)
	a.do("acquire", "held")
	b.do("try", "busy")
	if _, ok, err := l.TryAcquire(); ok || err != nil {
		t.Fatalf("TryAcquire beside another process: %v, %v", ok, err)
	}
	b.send("acquire")
	untilWaiting(t, l, 1)
	a.do("release", "released")
	b.expect("held")
	b.do("release", "released")
	if h := mustAcquire(t, l); h.Token() != 3 || h.OwnerDied() {
		t.Fatalf("third holder has token %d, owner died %v", h.Token(), h.OwnerDied())
	}
}

func TestLockIsNotReentrantAndReleasedOnce(t *testing.T) {
	l := newTestLock(t, LockOptions{})
	h := mustAcquire(t, l)
	if _, ok, _ := l.TryAcquire(); ok {
		t.Fatal("acquired twice")
	}
	mustRelease(t, h)
	if err := h.Release(); err != ErrNotHeld {
		t.Fatalf("second release: %v", err)
	}
	again := mustAcquire(t, l)
	if err := h.Release(); err != ErrNotHeld {
		t.Fatalf("release with the token of an earlier holding: %v", err)
	}
	mustRelease(t, again)
	if err := (Held{}).Release(); err != ErrNotHeld {
		t.Fatalf("release of nothing: %v", err)
	}
}

func TestLockContext(t *testing.T) {
	checkLeaks(t)
	l := newTestLock(t, LockOptions{})
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	h, err := l.Acquire(ended)
	if err != nil {
		t.Fatalf("a free lock with an ended context: %v", err)
	}
	if _, err := l.Acquire(ended); err != context.Canceled {
		t.Fatalf("a held lock with an ended context: %v", err)
	}
	other := startLocker(t, l)
	other.do("acquire a while", "context deadline exceeded")
	mustRelease(t, h)
	other.do("acquire", "held")
}

func TestLockDeadOwner(t *testing.T) {
	checkLeaks(t)
	l := newTestLock(t, LockOptions{})
	for _, how := range []string{"acquire", "try"} {
		owner, next := startLocker(t, l), startLocker(t, l)
		owner.do("acquire", "held")
		owner.kill()
		next.do(how, "held, owner died")
		next.do("release", "released")
		next.do("acquire", "held") // told once
		next.do("release", "released")
	}
	owner, next := startLocker(t, l), startLocker(t, l)
	owner.do("acquire", "held")
	next.send("acquire")
	untilWaiting(t, l, 1)
	owner.kill()
	next.expect("held, owner died")
}

func TestLockStoppedOwnerIsNotDead(t *testing.T) {
	l := newTestLock(t, LockOptions{})
	owner := startLocker(t, l)
	owner.do("acquire", "held")
	owner.stop()
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	if _, err := l.Acquire(ctx); err != context.DeadlineExceeded {
		t.Fatalf("acquire from a stopped owner: %v", err)
	}
	owner.signal(syscall.SIGCONT)
	owner.do("release", "released")
	if h := mustAcquire(t, l); h.OwnerDied() {
		t.Fatal("the owner that was stopped counts as dead")
	}
}

func TestLockStoppedWaiterHoldsUpNobody(t *testing.T) {
	l := newTestLock(t, LockOptions{})
	h := mustAcquire(t, l)
	stopped, next := startLocker(t, l), startLocker(t, l)
	stopped.send("acquire")
	untilWaiting(t, l, 1)
	stopped.stop()
	next.send("acquire")
	untilWaiting(t, l, 2)
	mustRelease(t, h) // wakes the stopped one
	for range 5 {
		next.expect("held")
		next.do("release", "released")
		h := mustAcquire(t, l)
		next.send("acquire")
		untilWaiting(t, l, 2)
		mustRelease(t, h)
	}
	next.expect("held")
	stopped.signal(syscall.SIGCONT)
	next.do("release", "released")
	stopped.expect("held")
}

func TestLockDeadWaiterHoldsUpNobody(t *testing.T) {
	checkLeaks(t)
	l := newTestLock(t, LockOptions{})
	for range 20 {
		h := mustAcquire(t, l)
		dead, next := startLocker(t, l), startLocker(t, l)
		dead.send("acquire")
		untilWaiting(t, l, 1)
		next.send("acquire")
		untilWaiting(t, l, 2)
		// Stopped, so that it is woken and dies before it can look.
		dead.stop()
		mustRelease(t, h)
		dead.kill()
		next.expect("held")
		next.do("release", "released")
		next.kill()
	}
}

func TestLockHandoff(t *testing.T) {
	l := newTestLock(t, LockOptions{Handoff: true})
	holder, other := startLocker(t, l), startLocker(t, l)
	holder.do("acquire", "held")
	holder.kill()
	if _, ok, err := l.TryAcquire(); ok || err != nil {
		t.Fatalf("a handoff lock passed on by a death: %v, %v", ok, err)
	}
	other.do("release any", "released")
	h := mustAcquire(t, l)
	if h.OwnerDied() {
		t.Fatal("in handoff mode nobody owns it")
	}
	other.send("acquire")
	untilWaiting(t, l, 1)
	mustRelease(t, h)
	other.expect("held")
	plain := newTestLock(t, LockOptions{})
	mustAcquire(t, plain)
	if err := plain.Release(); err != ErrNotHeld {
		t.Fatalf("Release without handoff: %v", err)
	}
}

func TestLockClose(t *testing.T) {
	checkLeaks(t)
	l := newTestLock(t, LockOptions{})
	other := startLocker(t, l)
	h := mustAcquire(t, l)
	failed := make(chan error)
	go func() {
		_, err := l.Acquire(context.Background())
		failed <- err
	}()
	other.send("acquire")
	untilWaiting(t, l, 2)
	l.Close()
	if err := <-failed; err != ErrClosed {
		t.Fatalf("acquire during Close: %v", err)
	}
	other.expect("held, owner died")
	if err := h.Release(); err != ErrNotHeld {
		t.Fatalf("release after Close: %v", err)
	}
	if _, err := l.Acquire(context.Background()); err != ErrClosed {
		t.Fatalf("acquire after Close: %v", err)
	}
	if _, _, err := l.EncodeHandle(); err != ErrClosed {
		t.Fatalf("passed on after Close: %v", err)
	}
}

// A lock that arrives again is the same one: mapped once, and a goroutine that
// holds one handle excludes those with another.
func TestLockArrivesTwice(t *testing.T) {
	checkLeaks(t)
	a, b, err := Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	defer b.Close()
	l := newTestLock(t, LockOptions{})
	h := mustAcquire(t, l)
	before := mustMaps(t)
	for range 100 {
		var again Lock
		if err := a.Send(within(t), l); err != nil {
			t.Fatal(err)
		}
		if err := b.Recv(within(t), &again); err != nil {
			t.Fatal(err)
		}
		if _, ok, err := again.TryAcquire(); ok || err != nil {
			t.Fatalf("second handle: %v, %v", ok, err)
		}
	}
	if now := mustMaps(t); now != before {
		t.Fatalf("%d mappings, were %d", now, before)
	}
	mustRelease(t, h)
}

func TestManyLocks(t *testing.T) {
	checkLeaks(t)
	a, b, err := Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	defer b.Close()
	before := mustMaps(t)
	for i := range 10000 {
		l, err := NewLock(LockOptions{})
		if err != nil {
			t.Fatal(err)
		}
		mustRelease(t, mustAcquire(t, l))
		if i%10 == 0 {
			var got Lock
			if err := a.Send(context.Background(), l); err != nil {
				t.Fatal(err)
			}
			if err := b.Recv(context.Background(), &got); err != nil {
				t.Fatal(err)
			}
		}
		if i%3 == 0 {
			l.Close()
		}
		if i%1000 == 0 {
			collect() // the dropped ones keep a descriptor until then
		}
	}
	for end := time.Now().Add(deadline); mustMaps(t) > before; collect() {
		if time.Now().After(end) {
			t.Fatalf("%d mappings left, were %d", mustMaps(t), before)
		}
	}
}

func TestLockWaitersCostNoThreads(t *testing.T) {
	checkLeaks(t)
	l := newTestLock(t, LockOptions{})
	h := mustAcquire(t, l)
	var all sync.WaitGroup
	inside := 0
	for range 1000 {
		all.Go(func() {
			h, err := l.Acquire(context.Background())
			if err != nil {
				t.Error(err)
				return
			}
			inside++ // the race detector looks
			h.Release()
		})
	}
	untilWaiting(t, l, 1)
	if n := threads(t); n >= 50 {
		t.Errorf("%d threads while 1000 goroutines wait", n)
	}
	mustRelease(t, h)
	all.Wait()
	if inside != 1000 {
		t.Fatalf("%d were inside", inside)
	}
}

func TestForeignHandles(t *testing.T) {
	checkLeaks(t)
	a, b, err := Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	defer b.Close()
	block, err := NewBlock(1)
	if err != nil {
		t.Fatal(err)
	}
	defer block.Close()
	if err := a.Send(within(t), block); err != nil {
		t.Fatal(err)
	}
	var l Lock
	if err := b.Recv(within(t), &l); !errors.Is(err, ErrForeign) {
		t.Fatalf("a block as a lock: %v", err)
	}
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	// A file that says it is a lock.
	h, fds, err := (&File{file}).EncodeHandle()
	if err != nil {
		t.Fatal(err)
	}
	h.Kind = handleLock
	if err := l.DecodeHandle(h, fds); !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), "no memfd with a fixed size") {
		t.Fatalf("a file as a lock: %v", err)
	}
	if _, err := l.Acquire(within(t)); err != ErrClosed {
		t.Fatalf("the zero lock: %v", err)
	}
}

// The helper "contender" acquires and releases without end. What it does while it
// holds the lock shows every violation of the exclusion in the block.
func init() { helpers["contender"] = contender }

const (
	blockToken  = iota // of the last holder
	blockInside        // token of the holder that is inside, 0: nobody
	blockCount         // incremented by a load and a store
	blockWrong         // violations seen
	blockDied          // how often an owner was found dead
)

type contest struct {
	Lock   *Lock
	Block  *Block
	Cancel bool // give up waiting now and then
	Seed   uint64
}

func contender(c *Conn) error {
	var x contest
	if err := c.Recv(context.Background(), &x); err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(x.Seed, 0))
	for {
		ctx, cancel := context.Background(), func() {}
		if x.Cancel && random.IntN(4) == 0 {
			ctx, cancel = context.WithTimeout(ctx, time.Duration(random.IntN(300))*time.Microsecond)
		}
		h, err := x.Lock.Acquire(ctx)
		cancel()
		if err == context.DeadlineExceeded {
			continue
		}
		if err != nil {
			return err
		}
		inside(x.Block, h)
		if err := h.Release(); err != nil {
			return err
		}
	}
}

// A holding of a Lock or an RLock.
type holding interface {
	Token() uint64
	OwnerDied() bool
}

// inside is the critical section.
func inside(b *Block, h holding) {
	wrong := b.Word(blockToken).Swap(h.Token()) >= h.Token()
	before := b.Word(blockInside).Swap(h.Token())
	wrong = wrong || before != 0 && !h.OwnerDied()
	n := b.Word(blockCount).Load()
	for range 20 {
		wrong = wrong || b.Word(blockInside).Load() != h.Token()
	}
	b.Word(blockCount).Store(n + 1)
	if wrong {
		b.Word(blockWrong).Add(1)
	}
	if h.OwnerDied() {
		b.Word(blockDied).Add(1)
	}
	b.Word(blockInside).Store(0)
}

func startContender(t *testing.T, x contest) *child {
	t.Helper()
	x.Seed = rand.Uint64()
	c := start(t, "contender")
	c.send(x)
	return c
}

// rounds is how many rounds a random test has: few in `go test`, as many as asked
// for in scripts/stress.sh.
func rounds(t *testing.T, few int) int {
	if s := os.Getenv("MULTIPROC_ROUNDS"); s != "" {
		var n int
		if _, err := fmt.Sscan(s, &n); err != nil {
			t.Fatalf("MULTIPROC_ROUNDS: %v", err)
		}
		return n
	}
	return few
}

// One of four processes is killed, or stopped for a moment, at a random moment,
// again and again, while all contend.
func TestLockRandomKills(t *testing.T) {
	checkLeaks(t)
	l := newTestLock(t, LockOptions{})
	block, err := NewBlock(8)
	if err != nil {
		t.Fatal(err)
	}
	defer block.Close()
	x := contest{Lock: l, Block: block, Cancel: true}
	var procs [4]*child
	for i := range procs {
		procs[i] = startContender(t, x)
	}
	n := rounds(t, 60)
	for range n {
		time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond) // the random moment
		i := rand.IntN(len(procs))
		if rand.IntN(4) == 0 {
			procs[i].stop()
			mustProgress(t, l, block, procs[i].cmd.Process.Pid, true)
			procs[i].signal(syscall.SIGCONT)
			continue
		}
		procs[i].kill()
		procs[i].Close()
		mustProgress(t, l, block, procs[i].cmd.Process.Pid, false)
		procs[i] = startContender(t, x)
	}
	if wrong := block.Word(blockWrong).Load(); wrong != 0 {
		t.Errorf("exclusion violated %d times", wrong)
	}
	t.Logf("%d acquisitions, %d owners found dead in %d rounds", block.Word(blockCount).Load(), block.Word(blockDied).Load(), n)
}

// mustProgress sees the lock change hands, or finds that it is the stopped process
// that holds it.
func mustProgress(t *testing.T, l *Lock, block *Block, pid int, stopped bool) {
	t.Helper()
	patience := deadline
	if stopped {
		patience = time.Second // thrice the longest nap
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	h, err := l.Acquire(ctx)
	if err != nil && (!stopped || l.x.Owner() != pid) {
		t.Fatalf("process %d is stopped: %v; it does not hold the lock, and yet: %v", pid, stopped, err)
	}
	if err == nil {
		inside(block, h)
		mustRelease(t, h)
	}
}

func BenchmarkLockFree(b *testing.B) {
	l := newTestLock(b, LockOptions{})
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		h, err := l.Acquire(ctx)
		if err != nil {
			b.Fatal(err)
		}
		if err := h.Release(); err != nil {
			b.Fatal(err)
		}
	}
}
