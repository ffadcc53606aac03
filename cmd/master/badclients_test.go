package main

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed-185a7250/multiproc/ipc"
	"github.com/seed-185a7250/multiproc/proto"
)

// A siege is a manager, and a good client that asks it again and again while others behave badly.
type siege struct {
	t    *testing.T
	p    *program
	path string
	open []*ipc.Conn // of who stays connected
}

// frame makes a frame of a request.
func frame(t *testing.T, id uint64, method string, params ...any) []byte {
	t.Helper()
	p, err := proto.Marshal(params)
	if err != nil {
		t.Fatal(err)
	}
	body := proto.AppendRequest(nil, id, method, p.Bytes)
	return append(proto.AppendHeader(nil, proto.Header{Length: len(body)}), body...)
}

// stranger connects, and sends bytes as they are.
func (s *siege) stranger(b ...[]byte) *ipc.Conn {
	c, err := ipc.Dial(s.t.Context(), s.path, ipc.ConnOptions{})
	if err != nil {
		s.t.Error(err)
		return nil
	}
	c.SetWriteDeadline(time.Now().Add(time.Second)) // the manager need not read it
	for _, part := range b {
		c.WriteFrames(part)
	}
	return c
}

// stay keeps a connection open until the end of the attack.
func (s *siege) stay(c *ipc.Conn) { s.open = append(s.open, c) }

func (s *siege) hello() []byte { return frame(s.t, 1, proto.MethodHello, 1, []any{}, map[string]any{}) }

// status reads a number of /proc/PID/status, in KiB.
func (s *siege) status(name string) int {
	s.t.Helper()
	text := read(s.t, filepath.Join("/proc", strconv.Itoa(s.p.pid()), "status"))
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); f[0] == name+":" {
			n, _ := strconv.Atoi(f[1])
			return n
		}
	}
	s.t.Fatalf("no %s in %s", name, text)
	return 0
}

func (s *siege) descriptors() int {
	return len(dirNames(s.t, filepath.Join("/proc", strconv.Itoa(s.p.pid()), "fd")))
}

// attack runs f beside a good client, and tells how that one was served.
func (s *siege) attack(name string, f func()) {
	s.t.Helper()
	good, err := ipc.Connect(s.t.Context(), s.path, ipc.ConnectOptions{})
	if err != nil {
		s.t.Fatalf("%s: %v", name, err)
	}
	defer good.Close()
	stop := make(chan struct{})
	var all []time.Duration
	var wg sync.WaitGroup
	wg.Go(func() {
		ctx, cancel := context.WithTimeout(s.t.Context(), patience)
		defer cancel()
		for tick := time.NewTicker(time.Millisecond); ; <-tick.C {
			select {
			case <-stop:
				return
			default:
			}
			begin := time.Now()
			if err := good.Ping(ctx); err != nil {
				s.t.Errorf("%s: the good client: %v", name, err)
				return
			}
			all = append(all, time.Since(begin))
		}
	})
	f()
	newcomer := time.Now()
	if err := reaches(s.t, s.path, ipc.ConnectOptions{}); err != nil {
		s.t.Errorf("%s: a client that comes meanwhile: %v", name, err)
	}
	joined := time.Since(newcomer)
	close(stop)
	wg.Wait()
	if len(all) == 0 {
		s.t.Fatalf("%s: the good client was not served", name)
	}
	slices.Sort(all)
	median, most := all[len(all)/2], all[len(all)-1]
	s.t.Logf("%-28s %6d pings, median %8v, longest %8v; a newcomer took %8v; VmHWM %4d MiB", name, len(all),
		median.Round(time.Microsecond), most.Round(time.Microsecond), joined.Round(time.Microsecond), s.status("VmHWM")>>10)
	if most > 5*time.Second || joined > 10*time.Second {
		s.t.Errorf("%s: others were served too late", name)
	}
	for _, c := range s.open {
		c.Close()
	}
	s.open = nil
}

// Whatever clients do, the manager stays, its memory is bounded, and others are served.
func TestBadClients(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.sock")
	p := start(t, setup{program: builtProgram(t, "master")}, "manager", "-listen", path, "-log-level", "off",
		"-limit", "unread=4M", "-limit", "frame=16M", "-limit", "memory=64M")
	p.prints("listening", 1)
	s := &siege{t: t, p: p, path: path}
	at := s.descriptors()
	random := rand.New(rand.NewPCG(1, 2))
	noise := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		return b
	}
	s.attack("nobody", func() { s.quiet() })
	s.attack("noise", func() {
		for range 300 {
			s.stranger(noise(2000)).Close()
			s.stranger(s.hello(), noise(2000)).Close()
		}
	})
	s.attack("noise in frames", func() {
		call := frame(t, 2, proto.MethodCreate, "dict", []any{[]any{[]any{1, 2}}}, map[string]any{})
		for range 2000 {
			bad := slices.Clone(call)
			for range 1 + random.IntN(4) {
				bad[proto.HeaderSize+random.IntN(len(bad)-proto.HeaderSize)] = byte(random.Uint32())
			}
			s.stranger(s.hello(), bad, call).Close()
		}
	})
	s.attack("frames over the limit", func() {
		for range 500 {
			s.stranger(s.hello(), []byte{0xff, 0xff, 0xff, 0xff, 0}).Close()
			s.stranger([]byte{0, 0, 0x20, 0, 0}).Close()
		}
	})
	half := append(proto.AppendHeader(nil, proto.Header{Length: 16 << 20}), make([]byte, 1<<20)...)
	s.attack("half frames, then gone", func() {
		for range 200 {
			s.stranger(s.hello(), half).Close()
		}
	})
	s.attack("half frames, then nothing", func() {
		var wg sync.WaitGroup
		var mu sync.Mutex
		for range 200 {
			wg.Go(func() {
				c := s.stranger(s.hello(), half)
				mu.Lock()
				defer mu.Unlock()
				s.stay(c)
			})
		}
		wg.Wait()
		s.quiet()
	})
	s.attack("wrong versions", func() {
		for range 1000 {
			s.stranger(frame(t, 1, proto.MethodHello, 99, []any{}, map[string]any{"min": 99})).Close()
		}
	})
	s.attack("3,000 that say nothing", func() {
		for range 3000 {
			s.stay(s.stranger())
		}
		s.quiet()
	})
	s.attack("too many connections", func() {
		for range 4200 {
			s.stranger(s.hello()).Close()
		}
	})
	s.attack("who never reads", func() {
		s.deaf(60)
		s.quiet()
	})
	s.attack("descriptors", func() {
		for range 300 {
			s.smuggle()
		}
	})
	if !poll(func() bool { return s.descriptors() <= at }) {
		t.Errorf("the manager has %d descriptors, it had %d", s.descriptors(), at)
	}
	if n := s.status("VmHWM"); n > 2<<20 {
		t.Errorf("the manager had %d MiB", n>>10)
	}
	p.signal(syscall.SIGTERM)
	p.exits(exitOK)
}

// quiet gives the good client some time.
func (s *siege) quiet() {
	tick := time.NewTimer(300 * time.Millisecond)
	<-tick.C
}

// deaf makes n clients ask for much, and read nothing.
func (s *siege) deaf(n int) {
	big := frame(s.t, 2, proto.MethodCreate, "value", []any{nil, make([]byte, 8<<20)}, map[string]any{"name": "big", "existing": true})
	c := s.stranger(s.hello(), big)
	if c == nil {
		return
	}
	s.stay(c)
	var get []byte
	for i := range 1000 {
		get = append(get, frame(s.t, uint64(10+i), proto.MethodCall, "big", "get", []any{}, map[string]any{})...)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	for range n {
		wg.Go(func() {
			c := s.stranger(s.hello(), get)
			mu.Lock()
			defer mu.Unlock()
			s.stay(c)
		})
	}
	wg.Wait()
}

// smuggle sends descriptors where none belong.
func (s *siege) smuggle() {
	for _, first := range [][]byte{nil, s.hello()} {
		c := s.stranger()
		if c == nil {
			return
		}
		if first != nil {
			c.WriteFrames(first)
		}
		body := frame(s.t, 2, proto.MethodPing, map[string]any{})[proto.HeaderSize:]
		c.WriteFrame([]int{0, 0, 0}, body)
		c.Close()
	}
	// More than the header says.
	c := s.stranger(s.hello())
	defer c.Close()
	null, err := os.Open("/dev/null")
	if err != nil {
		s.t.Error(err)
		return
	}
	defer null.Close()
	raw := frame(s.t, 3, proto.MethodPing, map[string]any{})
	c.WriteFrame([]int{int(null.Fd())}, raw[proto.HeaderSize:])
}

// Keys that are wrong, by the thousand, let nobody in and keep nobody out.
func TestWrongKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.sock")
	p := start(t, setup{program: builtProgram(t, "master")}, "manager", "-listen", path, "-key-file", testFile(t, 0o600, aKey), "-log-level", "off")
	p.prints("listening", 1)
	s := &siege{t: t, p: p, path: path}
	for i := range 500 {
		key := binary.BigEndian.AppendUint64([]byte("not the right key"), uint64(i))
		if err := reaches(t, path, ipc.ConnectOptions{Key: key}); err == nil {
			t.Fatal("a wrong key was taken")
		}
		s.stranger(s.hello(), frame(t, 2, proto.MethodAuth, key, key, map[string]any{})).Close()
		s.stranger(s.hello(), frame(t, 2, proto.MethodList, map[string]any{})).Close()
	}
	if err := reaches(t, path, ipc.ConnectOptions{Key: []byte(aKey)}); err != nil {
		t.Error(err)
	}
	p.signal(syscall.SIGTERM)
	p.exits(exitOK)
}
