// Command ours measures package ipc through its public API: "ours MEASURE" prints
// "MEASURE VALUE". The other processes are this program again. The measures are those
// of ../peers.py and ../limits.c.
package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"github.com/seed-185a7250/multiproc/ipc"
)

const (
	span    = 400 * time.Millisecond // that a measure of throughput lasts
	turns   = 4000
	kills   = 150
	roleEnv = "BENCH_ROLE"
)

var ctx = context.Background()

// things are what a helper process is sent; it uses those of its role.
type things struct {
	Lock  *ipc.Lock
	A, B  *ipc.Event
	Cond  *ipc.Condition
	Ints  *ipc.Queue[int]
	Bytes *ipc.Queue[[]byte]
	Conn  *ipc.Conn
	Words *ipc.Block // the first is whose turn it is, or a count
	I     int        // the word that this process counts in
	Size  int
}

func main() {
	if role := os.Getenv(roleEnv); role != "" {
		c := must(ipc.NewConn(os.NewFile(3, "parent"), ipc.ConnOptions{}))
		var t things
		check(c.Recv(ctx, &t))
		roles[role](c, t)
		return
	}
	if len(os.Args) != 2 || measures[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: ours MEASURE")
		os.Exit(2)
	}
	measures[os.Args[1]](os.Args[1])
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "ours:", err)
		os.Exit(1)
	}
}

func must[T any](v T, err error) T {
	check(err)
	return v
}

// A helper is another process of this program.
type helper struct {
	cmd  *exec.Cmd
	conn *ipc.Conn
}

func start(role string, t things) *helper {
	ours, theirs, err := ipc.Socketpair()
	check(err)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), roleEnv+"="+role)
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.Stderr = os.Stderr
	check(cmd.Start())
	theirs.Close()
	h := &helper{cmd: cmd, conn: must(ipc.NewConn(ours, ipc.ConnOptions{}))}
	check(h.conn.Send(ctx, t))
	return h
}

func (h *helper) kill() {
	h.cmd.Process.Kill()
	h.cmd.Wait()
	h.conn.Close()
}

// free tells the nanoseconds of an operation that nobody disturbs.
func free(name string, op func()) {
	const n = 200_000
	for range n / 10 {
		op()
	}
	t := time.Now()
	for range n {
		op()
	}
	fmt.Println(name, float64(time.Since(t))/n)
}

// roundTrips tells the microseconds of one.
func roundTrips(name string, trip func()) {
	for range 100 {
		trip()
	}
	t := time.Now()
	for range turns {
		trip()
	}
	fmt.Println(name, float64(time.Since(t))/turns/1e3)
}

// rate tells how much the first n words grow in a second, and kills the helpers.
func rate(name string, words *ipc.Block, n int, helpers ...*helper) {
	sum := func() (s uint64, all bool) {
		all = true
		for i := range n {
			w := words.Word(i * 8).Load()
			s, all = s+w, all && w > 0
		}
		return s, all
	}
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if _, all := sum(); all {
			break
		}
	}
	first, _ := sum()
	t := time.Now()
	time.Sleep(span)
	last, _ := sum()
	fmt.Println(name, float64(last-first)/time.Since(t).Seconds())
	for _, h := range helpers {
		h.kill()
	}
}

var measures = map[string]func(name string){
	"lock": func(name string) {
		l := must(ipc.NewLock(ipc.LockOptions{}))
		free(name, func() { must(l.Acquire(ctx)).Release() })
	},
	"rlock": func(name string) {
		l := must(ipc.NewRLock(""))
		free(name, func() { must(l.Acquire(ctx)).Release() })
	},
	"sem": func(name string) {
		s := must(ipc.NewSemaphore(ipc.SemaphoreOptions{Permits: 1}))
		free(name, func() {
			check(s.Acquire(ctx))
			s.Release()
		})
	},
	"inc2":    func(name string) { increments(name, 2) },
	"inc4":    func(name string) { increments(name, 4) },
	"event":   event,
	"cond":    cond,
	"q11":     func(name string) { ints(name, "put", "get", 1) },
	"q22":     func(name string) { ints(name, "put", "get", 2) },
	"batch":   func(name string) { ints(name, "putall", "getupto", 1) },
	"q64k":    func(name string) { bulk(name, "getbytes", 64<<10) },
	"q1m":     func(name string) { bulk(name, "getbytes", 1<<20) },
	"into64k": func(name string) { bulk(name, "getinto", 64<<10) },
	"into1m":  func(name string) { bulk(name, "getinto", 1<<20) },
	"pipe":    pipe,
	"died":    died,
}

func increments(name string, n int) {
	t := things{Lock: must(ipc.NewLock(ipc.LockOptions{})), Words: must(ipc.NewBlock(8))}
	var hs []*helper
	for range n {
		hs = append(hs, start("increment", t))
	}
	rate(name, t.Words, 1, hs...)
}

func event(name string) {
	t := things{A: must(ipc.NewEvent("")), B: must(ipc.NewEvent(""))}
	h := start("event", t)
	roundTrips(name, func() {
		check(t.A.Set())
		check(t.B.Wait(ctx))
		check(t.B.Clear())
	})
	h.kill()
}

func cond(name string) {
	t := things{Cond: must(ipc.NewCondition("", must(ipc.NewRLock("")))), Words: must(ipc.NewBlock(8))}
	h := start("cond", t)
	roundTrips(name, func() { takeTurn(t, 0) })
	h.kill()
}

func takeTurn(t things, mine uint64) {
	h := must(t.Cond.Lock().Acquire(ctx))
	must(t.Cond.WaitFor(ctx, func() bool { return t.Words.Word(0).Load() == mine }))
	t.Words.Word(0).Store(1 - mine)
	must(t.Cond.Notify(ctx, 1))
	h.Release()
}

func ints(name, put, get string, n int) {
	t := things{Ints: must(ipc.NewQueue[int](ipc.QueueOptions{})), Words: must(ipc.NewBlock(64))}
	var hs []*helper
	for t.I = range n {
		hs = append(hs, start(put, t), start(get, t))
	}
	rate(name, t.Words, n, hs...)
}

func bulk(name, get string, size int) {
	t := things{Bytes: must(ipc.NewQueue[[]byte](ipc.QueueOptions{Bytes: 8 << 20})), Words: must(ipc.NewBlock(8)), Size: size}
	rate(name, t.Words, 1, start("putbytes", t), start(get, t))
}

func pipe(name string) {
	ours, theirs, err := ipc.Pipe()
	check(err)
	h := start("pipe", things{Conn: theirs})
	theirs.Close()
	n := 7
	roundTrips(name, func() {
		check(ours.Send(ctx, n))
		check(ours.Recv(ctx, &n))
	})
	h.kill()
}

// died tells the milliseconds from SIGKILL of a lock's owner until the next one has it,
// line by line.
func died(name string) {
	l := must(ipc.NewLock(ipc.LockOptions{}))
	for range kills {
		h := start("own", things{Lock: l})
		var s string
		check(h.conn.Recv(ctx, &s))
		got := make(chan time.Time)
		go func() {
			held := must(l.Acquire(ctx))
			at := time.Now()
			held.Release()
			got <- at
		}()
		for l.Waiting() == 0 {
			runtime.Gosched()
		}
		t := time.Now()
		h.cmd.Process.Signal(syscall.SIGKILL)
		fmt.Println(name, float64((<-got).Sub(t))/1e6)
		h.kill()
	}
}

// What the helper processes do, until they are killed.
var roles = map[string]func(c *ipc.Conn, t things){
	"increment": func(_ *ipc.Conn, t things) {
		for n := t.Words.Word(0); ; {
			h := must(t.Lock.Acquire(ctx))
			n.Store(n.Load() + 1)
			h.Release()
		}
	},
	"event": func(_ *ipc.Conn, t things) {
		for {
			check(t.A.Wait(ctx))
			check(t.A.Clear())
			check(t.B.Set())
		}
	},
	"cond": func(_ *ipc.Conn, t things) {
		for {
			takeTurn(t, 1)
		}
	},
	"put": func(_ *ipc.Conn, t things) {
		for i := 0; ; i++ {
			check(t.Ints.Put(ctx, i))
		}
	},
	"get": func(_ *ipc.Conn, t things) {
		for n := t.Words.Word(t.I * 8); ; n.Store(n.Load() + 1) {
			must(t.Ints.Get(ctx))
		}
	},
	"putall": func(_ *ipc.Conn, t things) {
		items := make([]int, 64)
		for {
			must(t.Ints.PutAll(ctx, items))
		}
	},
	"getupto": func(_ *ipc.Conn, t things) {
		for n := t.Words.Word(t.I * 8); ; {
			n.Store(n.Load() + uint64(len(must(t.Ints.GetUpTo(ctx, 64)))))
		}
	},
	"putbytes": func(_ *ipc.Conn, t things) {
		item := make([]byte, t.Size)
		for i := range item {
			item[i] = 'x'
		}
		for {
			check(t.Bytes.Put(ctx, item))
		}
	},
	"getbytes": func(_ *ipc.Conn, t things) {
		for n := t.Words.Word(0); ; {
			n.Store(n.Load() + uint64(len(must(t.Bytes.Get(ctx)))))
		}
	},
	"getinto": func(_ *ipc.Conn, t things) {
		buf := make([]byte, t.Size)
		for n := t.Words.Word(0); ; {
			n.Store(n.Load() + uint64(len(must(ipc.GetInto(ctx, t.Bytes, buf)))))
		}
	},
	"pipe": func(_ *ipc.Conn, t things) {
		for n := 0; ; {
			check(t.Conn.Recv(ctx, &n))
			check(t.Conn.Send(ctx, n))
		}
	},
	"own": func(c *ipc.Conn, t things) {
		must(t.Lock.Acquire(ctx))
		check(c.Send(ctx, "held"))
		check(c.Recv(ctx, new(int))) // until it is killed
	},
}
