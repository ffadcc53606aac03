package supervisor

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// LineFunc receives one line of output, without its newline. line is valid only until the call returns.
// final is false for a piece of a line longer than 64 KiB, whose rest follows in the next call. A last line
// without a newline is a line. Calls for one stream come one at a time, in order.
type LineFunc func(line []byte, final bool)

// Output says where stdout or stderr of a process goes. The zero value is /dev/null. Inherit, File and the
// others exclude each other; Lines, Capture and Tail may stand together.
//
// The two streams differ when their consumer is slow. stdout is data: the pipe fills, and the process waits
// until Lines returns. stderr must never stop a process because its log cannot be written: up to 1,024 lines
// or 1 MiB wait for Lines, and what comes on top is counted and reported as one line "… n lines dropped".
type Output struct {
	Inherit bool     // our own stdout or stderr
	File    *os.File // given to the process as it is; stays the caller's
	Lines   LineFunc // called with every line
	Capture *Capture // receives every byte, up to its limit
	Tail    bool     // (stderr) read only for StderrTail, which any piped stderr feeds
}

// drainTime is how long, after the death of a process, a pipe of its may be held open by somebody who left
// its group. Those who did not are being killed at that moment and need only milliseconds.
const drainTime = 200 * time.Millisecond

func (o Output) piped() bool { return o.Lines != nil || o.Capture != nil || o.Tail }

func (o Output) check(stream string) error {
	n := 0
	for _, set := range []bool{o.Inherit, o.File != nil, o.piped()} {
		if set {
			n++
		}
	}
	if n > 1 {
		return fmt.Errorf("%s: only one of Inherit, File and a pipe (Lines, Capture, Tail) can be had", stream)
	}
	return nil
}

// outputs are the piped streams of one process.
type outputs struct {
	tail  tail
	pumps []*pump
	group sync.WaitGroup
}

// connect opens what the child shall have as stdout and stderr; nil is /dev/null. release closes our copies of
// its ends of pipes: call it once the child has them, or on error.
func (o *outputs) connect(s Spec) (stdout, stderr *os.File, release func(), err error) {
	var ends []*os.File
	open := func(out Output, std *os.File, sink sink) *os.File {
		switch {
		case out.Inherit:
			return std
		case !out.piped():
			return out.File
		}
		r, w, pipeErr := os.Pipe()
		if pipeErr != nil {
			err = pipeErr
			sink.end()
			return nil
		}
		ends = append(ends, w)
		o.pumps = append(o.pumps, &pump{r: r, sink: sink, capture: out.Capture})
		return w
	}
	stdout = open(s.Stdout, os.Stdout, directSink{s.Stdout.Lines})
	stderr = open(s.Stderr, os.Stderr, newStderrSink(&o.tail, s.Stderr.Lines))
	if err != nil {
		o.abandon()
	}
	return stdout, stderr, func() {
		for _, f := range ends {
			f.Close()
		}
	}, err
}

// start runs the pumps.
func (o *outputs) start() {
	for _, p := range o.pumps {
		o.group.Go(p.run)
	}
}

// abandon is for a child that could not be started.
func (o *outputs) abandon() {
	for _, p := range o.pumps {
		p.r.Close()
		p.sink.end()
	}
	o.pumps = nil
}

// expectEnd tells the pumps that the process is dead: end of file is due.
func (o *outputs) expectEnd() {
	for _, p := range o.pumps {
		p.r.SetReadDeadline(time.Now().Add(drainTime))
	}
}

// wait returns when all has been delivered.
func (o *outputs) wait() { o.group.Wait() }

// sink is where the lines of one stream go.
type sink interface {
	line(b []byte, final bool)
	end() // no more lines; returns when all are delivered, or given up
}

// directSink calls the consumer from the pump: that is the back-pressure of stdout.
type directSink struct{ f LineFunc }

func (s directSink) line(b []byte, final bool) {
	if s.f != nil {
		s.f(b, final)
	}
}
func (s directSink) end() {}

// pump reads one pipe to its end.
type pump struct {
	r       *os.File
	sink    sink
	capture *Capture
}

func (p *pump) run() {
	defer p.r.Close() // whoever still holds the other end gets EPIPE
	split := splitter{emit: p.sink.line}
	take := func(b []byte) {
		p.capture.write(b)
		split.write(b)
	}
	buf := make([]byte, 16<<10)
	for {
		n, err := p.r.Read(buf)
		take(buf[:n])
		if errors.Is(err, os.ErrDeadlineExceeded) {
			p.drain(buf, take)
		}
		if err != nil { // io.EOF as a rule; nothing else can be done about any other
			break
		}
	}
	split.end()
	p.sink.end()
}

// drain takes what lies in the pipe now, and no more. A read with a deadline does not do: once that has
// passed it returns nothing, even if there is data (a slow consumer may have left some); and reading until
// the pipe is empty would never end while somebody else writes.
func (p *pump) drain(buf []byte, take func([]byte)) {
	rc, err := p.r.SyscallConn()
	if err != nil {
		return
	}
	left := 0
	rc.Control(func(fd uintptr) { left, err = unix.IoctlGetInt(int(fd), unix.TIOCINQ) })
	for left > 0 && err == nil {
		n := 0
		// Outside of Control the consumer may take its time; the descriptor is non-blocking.
		rc.Control(func(fd uintptr) { n, err = unix.Read(int(fd), buf[:min(len(buf), left)]) })
		if err == nil && n == 0 {
			err = io.EOF
		}
		take(buf[:max(n, 0)])
		left -= n
	}
}
