package ipc

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"syscall"
	"testing"
	"time"
)

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
	endWith(c)
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

const roundsEnv = "MULTIPROC_ROUNDS"

// rounds is how many rounds a random test has: few in `go test`, as many as asked
// for in scripts/stress.sh.
func rounds(t *testing.T, few int) int {
	if s := os.Getenv(roundsEnv); s != "" {
		var n int
		if _, err := fmt.Sscan(s, &n); err != nil {
			t.Fatalf("%s: %v", roundsEnv, err)
		}
		return n
	}
	return few
}

// One of four processes is killed, or stopped for a moment, at a random moment,
// again and again, while all contend; and at first the one that made the lock.
func TestLockRandomKills(t *testing.T) {
	checkLeaks(t)
	f, k := found(t, founding{})
	l, strangers := k.Tools.Lock, newNest(t)
	block, err := NewBlock(8)
	if err != nil {
		t.Fatal(err)
	}
	defer block.Close()
	x := contest{Lock: l, Block: block, Cancel: true}
	var procs [4]*child
	contend := func(i int) {
		x.Seed = rand.Uint64()
		procs[i] = strangers.startMixed(i, "contender")
		procs[i].send(x)
	}
	for i := range procs {
		contend(i)
	}
	f.kill()
	f.Close()
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
		contend(i)
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
