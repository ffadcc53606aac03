package supervisor

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed-185a7250/multiproc/ipc"
	"github.com/seed-185a7250/multiproc/proto"
)

// A fake is a worker program written by hand on the wire: it can stop at any byte, lie, and break every rule.
type fake struct {
	*ipc.Conn
	raw     *os.File // the same socket, for bytes that are no frame
	welcome proto.Welcome
	scribe  *scribe
	args    []string
}

// fakes are the programs, by name; each is registered beside the test that uses it.
var fakes = map[string]func(*fake){}

func fakeWorker(name string, f func(*fake)) string {
	if fakes[name] != nil {
		panic("two fakes are called " + name)
	}
	fakes[name] = f
	return name
}

var fakeHelper = helper("fake", func(args []string) {
	fd, err := unix.FcntlInt(workerFD, unix.F_DUPFD_CLOEXEC, 10)
	check(err == nil, "dup: %v", err)
	p, err := inherited()
	check(err == nil && p != nil, "no worker: %v", err)
	f := &fake{Conn: p.conn, raw: os.NewFile(uintptr(fd), "raw"), args: args[1:]}
	fakes[args[0]](f)
})

// fakeOptions is a pool of fakes.
func fakeOptions(workers int, name string, args ...string) PoolOptions {
	s := fakeHelper.spec(append([]string{name}, args...)...)
	o := testOptions(workers)
	o.Program, o.Args = "/proc/self/exe", s.Args
	return o
}

// greet does the worker's part of the handshake as it should be.
func (f *fake) greet() {
	f.hello(proto.Hello{Min: 1, Max: 1, Tasks: taskNames(), Caps: []string{proto.CapScoreboard}})
	f.ready()
}

func (f *fake) hello(h proto.Hello) {
	w, board, err := sayHello(f.Conn, h)
	check(err == nil, "hello: %v", err)
	f.welcome, f.scribe = w, newScribe(board)
}

func (f *fake) ready() { check(sayReady(f.Conn, nil) == nil, "ready") }

// A fakeRun is a ticket at a fake.
type fakeRun struct {
	proto.Run
	id  uint64
	fds []int
}

// serve calls on for every run, until told to stop or the master is gone.
func (f *fake) serve(on func(fakeRun)) {
	for {
		m, fds := f.read()
		switch {
		case m.Kind == proto.Request && m.Method == proto.MethodRun:
			r, err := proto.ParseRun(m.Params)
			check(err == nil, "run: %v", err)
			r.Attempt = max(r.Attempt, 1)
			f.scribe.state(proto.ScoreBusy, m.ID)
			on(fakeRun{r, m.ID, fds})
			f.scribe.done(0)
			f.scribe.state(proto.ScoreIdle, 0)
		case m.Kind == proto.Notify && m.Method == proto.MethodStop:
			os.Exit(0)
		}
	}
}

func (f *fake) read() (proto.Message, []int) {
	frame, err := f.ReadFrame()
	if err != nil {
		os.Exit(0)
	}
	m, err := proto.ParseMessage(frame.Body, proto.Limits{})
	check(err == nil, "message: %v", err)
	return m, frame.FDs
}

// answer answers a run with a value.
func (f *fake) answer(id uint64, v any) {
	f.WriteFrame(nil, f.response(id, v))
}

func (f *fake) response(id uint64, v any) []byte {
	p, err := proto.Marshal(v)
	check(err == nil, "value: %v", err)
	return proto.AppendResponse(nil, id, nil, p.Bytes)
}

// into decodes the argument.
func (r fakeRun) into(v any) {
	_, err := proto.Unmarshal(proto.Payload{Bytes: r.Args, FDs: r.fds}, v, proto.Limits{})
	check(err == nil, "arguments: %v", err)
}

// A side is where programs tell that they are at some point when they have no other wire, and wait.
type side struct {
	l    net.Listener
	path string
}

func newSide(t testing.TB) *side {
	t.Helper()
	dir, err := os.MkdirTemp("", "side") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	s := &side{path: filepath.Join(dir, "s")}
	if s.l, err = net.Listen("unix", s.path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.l.Close(); os.RemoveAll(dir) })
	return s
}

// next waits for the next program. It goes on when the returned function is called.
func (s *side) next(t testing.TB) (pid int, goOn func()) {
	t.Helper()
	type arrival struct {
		c   net.Conn
		err error
	}
	arrived := make(chan arrival, 1)
	go func() {
		c, err := s.l.Accept()
		arrived <- arrival{c, err}
	}()
	a := receive(t, arrived, "a program at the side")
	if a.err != nil {
		t.Fatal(a.err)
	}
	if _, err := fmt.Fscan(bufio.NewReader(a.c), &pid); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.c.Close() })
	return pid, func() { a.c.Close() }
}

// waitAtSide is the program's part. It goes on, too, when there is nobody at the other end.
func waitAtSide(path string) { waitAtSideFor(path, os.Getpid()) }

// waitAtSideFor tells the pid of another.
func waitAtSideFor(path string, pid int) {
	c, err := net.Dial("unix", path)
	if err != nil {
		return
	}
	defer c.Close()
	fmt.Fprintln(c, pid)
	c.Read(make([]byte, 1))
}

// quote shortens what is only for a message.
func quote(lines []string) string { return strings.Join(lines, "\n") }
