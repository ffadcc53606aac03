package main

import (
	"io"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A terminal is the side of a pseudo-terminal where the person sits.
type terminal struct {
	*os.File
	screen stream
	read   chan struct{} // closed when all that was written has been read
}

// startOnTerminal runs the built master as a shell in a terminal would: in the foreground of a session of its own. What
// it writes, to whichever stream, is on the screen.
func startOnTerminal(t *testing.T, args ...string) (*program, *terminal) {
	t.Helper()
	ptmx, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ptmx.Close() })
	number := 0
	control(t, ptmx, func(fd int) error {
		if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
			return err
		}
		number, err = unix.IoctlGetInt(fd, unix.TIOCGPTN)
		return err
	})
	tty, err := os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	term := &terminal{File: ptmx, read: make(chan struct{})}
	p := start(t, setup{program: builtProgram(t, "master"), before: func(c *exec.Cmd) {
		c.Stdin, c.Stdout, c.Stderr = tty, tty, tty
		c.SysProcAttr = &unix.SysProcAttr{Setsid: true, Setctty: true}
	}}, args...)
	tty.Close()
	go func() {
		defer close(term.read)
		io.Copy(&term.screen, ptmx) // EIO when nobody has the other side any more
	}()
	t.Cleanup(func() {
		ptmx.Close()
		<-term.read
	})
	return p, term
}

func control(t *testing.T, f *os.File, do func(fd int) error) {
	t.Helper()
	rc, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if e := rc.Control(func(fd uintptr) { err = do(int(fd)) }); e != nil || err != nil {
		t.Fatal(e, err)
	}
}

// leave waits for the end of the master, and for what it wrote last.
func (term *terminal) leave(p *program) {
	p.t.Helper()
	p.exits(exitInterrupted)
	select {
	case <-term.read:
	case <-time.After(patience):
		p.t.Fatalf("master has ended, but somebody still has the terminal: %v", marked(p.mark))
	}
}

// press types a key.
func (term *terminal) press(t *testing.T, key string) {
	t.Helper()
	if _, err := io.WriteString(term, key); err != nil {
		t.Fatal(err)
	}
}

const ctrlC, ctrlBackslash = "\x03", "\x1c"
