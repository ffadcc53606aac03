// Command manager measures managers of package ipc through their public API: "manager MEASURE" prints "MEASURE VALUE", operations
// per second. The manager and its clients are processes of their own, this program again. The measures are those of peers.py.
//
// With -cpuprofile FILE the manager leaves a profile in FILE and the first client in FILE.client.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"syscall"
	"time"

	"github.com/seed-185a7250/multiproc/ipc"
)

const (
	span  = 800 * time.Millisecond // that a measure lasts
	depth = 16                     // calls under way at once, pipelined
	batch = 100
)

// A measure is what each of so many clients does over and over: it tells how many operations it did.
type measure struct {
	clients int
	open    func(ctx context.Context, c *ipc.Client) (step func() int)
}

var measures = map[string]measure{
	"get1":  {1, get},
	"set1":  {1, set},
	"get4":  {4, get},
	"set4":  {4, set},
	"pipe1": {1, pipelined},
	"pipe4": {4, pipelined},
	"batch": {1, batched},
	"lock":  {1, locked},
}

func main() {
	profile := flag.String("cpuprofile", "", "leave profiles in `FILE` and FILE.client")
	flag.Parse()
	switch flag.Arg(0) {
	case "serve":
		serve(flag.Arg(1), *profile)
	case "client":
		client(flag.Arg(1), measures[flag.Arg(2)], *profile)
	default:
		m, ok := measures[flag.Arg(0)]
		if !ok || flag.NArg() != 1 {
			fmt.Fprintln(os.Stderr, "usage: manager [-cpuprofile FILE] MEASURE")
			os.Exit(2)
		}
		run(flag.Arg(0), m, *profile)
	}
}

func run(name string, m measure, profile string) {
	dir := must(os.MkdirTemp("", "bench"))
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "manager.sock")
	server, lines := start(profile, "serve", path)
	said(lines)
	clients := make([]*exec.Cmd, m.clients)
	outs := make([]*bufio.Scanner, m.clients)
	for i := range clients {
		file := ""
		if i == 0 && profile != "" {
			file = profile + ".client"
		}
		clients[i], outs[i] = start(file, "client", path, name)
	}
	var sum float64
	for _, out := range outs {
		var rate float64
		must(fmt.Sscan(said(out), &rate))
		sum += rate
	}
	for _, c := range clients {
		check(c.Wait())
	}
	check(server.Process.Signal(syscall.SIGTERM))
	check(server.Wait())
	fmt.Println(name, sum)
}

// start starts this program, with what it prints.
func start(profile string, args ...string) (*exec.Cmd, *bufio.Scanner) {
	cmd := exec.Command("/proc/self/exe", append([]string{"-cpuprofile", profile}, args...)...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out := must(cmd.StdoutPipe())
	check(cmd.Start())
	return cmd, bufio.NewScanner(out)
}

func said(out *bufio.Scanner) string {
	if !out.Scan() {
		check(fmt.Errorf("a process ended: %v", out.Err()))
	}
	return strings.TrimSpace(out.Text())
}

func serve(path, profile string) {
	m := must(ipc.NewManager(ipc.ManagerOptions{}))
	l := must(ipc.Listen(path, ipc.ConnOptions{}))
	defer l.Close()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	profiled(profile, func() {
		fmt.Println("listening")
		check(m.Serve(ctx, l))
	})
	check(m.Close())
}

func profiled(file string, f func()) {
	if file != "" {
		check(pprof.StartCPUProfile(must(os.Create(file))))
		defer pprof.StopCPUProfile()
	}
	f()
}

func client(path string, m measure, profile string) {
	ctx := context.Background()
	c := must(ipc.Connect(ctx, path, ipc.ConnectOptions{}))
	defer c.Close()
	step := m.open(ctx, c)
	for t := time.Now(); time.Since(t) < span/8; {
		step()
	}
	profiled(profile, func() {
		n, t := 0, time.Now()
		for time.Since(t) < span {
			n += step()
		}
		fmt.Println(float64(n) / time.Since(t).Seconds())
	})
}

func dict(ctx context.Context, c *ipc.Client) *ipc.Dict[string, int] {
	d := must(ipc.NewDict[string, int](ctx, c, ipc.ManagedOptions{Name: "dict", Keep: true, Existing: true}))
	check(d.Set(ctx, "x", 7))
	return d
}

func get(ctx context.Context, c *ipc.Client) func() int {
	d := dict(ctx, c)
	return func() int {
		must(d.Get(ctx, "x"))
		return 1
	}
}

func set(ctx context.Context, c *ipc.Client) func() int {
	d := dict(ctx, c)
	return func() int {
		check(d.Set(ctx, "x", 7))
		return 1
	}
}

func pipelined(ctx context.Context, c *ipc.Client) func() int {
	d := dict(ctx, c)
	var window [depth]*ipc.Pending
	i := 0
	return func() int {
		if p := window[i%depth]; p != nil {
			must(p.Wait(ctx))
		}
		window[i%depth] = d.Start("get", "x")
		i++
		return 1
	}
}

func batched(ctx context.Context, c *ipc.Client) func() int {
	d := dict(ctx, c)
	b, target := c.Batch(), ipc.Numbered(d.ID())
	return func() int {
		b.Reset()
		for range batch {
			b.Add(target, "get", "x")
		}
		r := must(b.Do(ctx))
		for i := range batch {
			var v int
			check(r.Into(i, &v))
		}
		return batch
	}
}

func locked(ctx context.Context, c *ipc.Client) func() int {
	l := must(ipc.NewManagedLock(ctx, c, ipc.ManagedOptions{}))
	return func() int {
		h := must(l.Acquire(ctx))
		check(h.Release())
		return 1
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "manager:", err)
		os.Exit(1)
	}
}

func must[T any](v T, err error) T {
	check(err)
	return v
}
