// Command goplugin measures hashicorp/go-plugin: "goplugin MEASURE" prints "MEASURE VALUE", or some lines "MEASURE.PART
// VALUE". The plugin is this program again. The measures are those of ../pool.
//
// It is a module of its own, so that ours has no more dependencies for it.
package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
)

const (
	noops    = 60_000
	trips    = 2000
	starts   = 8
	inFlight = 128 // goroutines that call one plugin process: the best of 8, 32, 64, 128, 256 and 512
)

var handshake = plugin.HandshakeConfig{ProtocolVersion: 1, MagicCookieKey: "BENCH_PLUGIN", MagicCookieValue: "1"}

// plugins is the no-op by the protocol that is measured.
func plugins() plugin.PluginSet {
	if protocol() == "grpc" {
		return plugin.PluginSet{"noop": &grpcPlugin{}}
	}
	return plugin.PluginSet{"noop": &rpcPlugin{}}
}

// protocol is net/rpc, which answers about twice as many calls in a second as gRPC here. BENCH_PROTOCOL=grpc is the
// other one.
func protocol() string {
	if p := os.Getenv("BENCH_PROTOCOL"); p != "" {
		return p
	}
	return "netrpc"
}

// A noop is what a plugin process does: it returns its argument.
type noop interface{ Noop(n int) (int, error) }

func main() {
	if os.Getenv(handshake.MagicCookieKey) != "" {
		config := &plugin.ServeConfig{HandshakeConfig: handshake, Plugins: plugins(), Logger: hclog.NewNullLogger()}
		if protocol() == "grpc" {
			config.GRPCServer = plugin.DefaultGRPCServer
		}
		plugin.Serve(config)
		return
	}
	stderr = os.Stderr
	os.Stderr = must(os.Open(os.DevNull)) // yamux says there that a connection has ended, when we end it
	if len(os.Args) != 2 {
		fmt.Fprintln(stderr, "usage: goplugin MEASURE")
		os.Exit(2)
	}
	if measure := measures[os.Args[1]]; measure != nil { // else it has no such thing
		measure(os.Args[1])
	}
}

var stderr *os.File

func check(err error) {
	if err != nil {
		fmt.Fprintln(stderr, "goplugin:", err)
		os.Exit(1)
	}
}

func must[T any](v T, err error) T {
	check(err)
	return v
}

// A worker is one plugin process.
type worker struct {
	client *plugin.Client
	noop
}

func start() worker {
	c := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig: handshake, Plugins: plugins(), Cmd: exec.Command("/proc/self/exe"),
		Logger: hclog.NewNullLogger(), Stderr: io.Discard,
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolNetRPC, plugin.ProtocolGRPC},
	})
	session := must(c.Client())
	return worker{c, must(session.Dispense("noop")).(noop)}
}

func startAll(n int) []worker {
	list := make([]worker, n)
	var all sync.WaitGroup
	for i := range list {
		all.Go(func() { list[i] = start() })
	}
	all.Wait()
	return list
}

func kill(list ...worker) {
	for _, w := range list {
		w.client.Kill()
	}
}

var measures = map[string]func(name string){
	"noop":  noopRate,
	"call":  call,
	"start": startTime,
	"start1g": func(name string) {
		ballast := make([]byte, 1<<30)
		for i := 0; i < len(ballast); i += 4096 {
			ballast[i] = 1
		}
		startTime(name)
		ballast[0]++
	},
	"ready4": func(name string) {
		median(name, starts/2, func() (time.Duration, []worker) {
			t := time.Now()
			list := startAll(4)
			return time.Since(t), list
		})
	},
	"memory": memory,
}

// noopRate tells how many calls two processes answer in a second.
func noopRate(name string) {
	list := startAll(2)
	var t time.Time
	for _, n := range []int{noops / 10, noops} { // the first is for warmth
		t = time.Now()
		var all sync.WaitGroup
		for i := range 2 * inFlight {
			all.Go(func() {
				for range n / (2 * inFlight) {
					must(list[i%2].Noop(i))
				}
			})
		}
		all.Wait()
	}
	fmt.Println(name, float64(noops/(2*inFlight)*(2*inFlight))/time.Since(t).Seconds())
	kill(list...)
}

// call tells the microseconds of one round trip.
func call(name string) {
	w := start()
	for range 200 {
		must(w.Noop(7))
	}
	var times []time.Duration
	for range trips {
		t := time.Now()
		must(w.Noop(7))
		times = append(times, time.Since(t))
	}
	slices.Sort(times)
	fmt.Println(name+".p50", float64(times[trips/2])/1e3)
	fmt.Println(name+".p99", float64(times[trips*99/100])/1e3)
	kill(w)
}

func startTime(name string) {
	median(name, starts, func() (time.Duration, []worker) {
		t := time.Now()
		w := start()
		must(w.Noop(7))
		return time.Since(t), []worker{w}
	})
}

// median tells the milliseconds in the middle.
func median(name string, n int, f func() (time.Duration, []worker)) {
	var times []time.Duration
	for range n {
		d, list := f()
		times = append(times, d)
		kill(list...)
	}
	slices.Sort(times)
	fmt.Println(name, float64(times[n/2])/1e6)
}

// memory tells the bytes of both sides when nothing is going on.
func memory(name string) {
	list := startAll(2)
	var sum float64
	for i := range 200 {
		must(list[i%2].Noop(7))
	}
	time.Sleep(300 * time.Millisecond)
	for _, w := range list {
		sum += pss(fmt.Sprint(w.client.ReattachConfig().Pid))
	}
	fmt.Println(name+".master", pss("self"))
	fmt.Println(name+".worker", sum/float64(len(list)))
	kill(list...)
}

// pss is the proportional set size of a process in bytes.
func pss(pid string) float64 {
	var kib float64
	for line := range strings.Lines(string(must(os.ReadFile("/proc/" + pid + "/smaps_rollup")))) {
		if _, err := fmt.Sscanf(line, "Pss: %f kB", &kib); err == nil {
			return kib * 1024
		}
	}
	check(fmt.Errorf("process %s has no Pss", pid))
	return 0
}
