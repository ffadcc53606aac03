package supervisor

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A child tells its Supervisor that it is ready, and that it lives, by the protocol of sd_notify(3): datagrams of
// "KEY=value" lines to the socket that NOTIFY_SOCKET names. Programs that are made for systemd speak it, and in a shell
// systemd-notify does. The socket is abstract, so that no file is ever left, and each process has another, so that nobody
// speaks for the one before him.

const (
	notifyEnv   = "NOTIFY_SOCKET"
	watchdogEnv = "WATCHDOG_USEC"
	notifyLimit = time.Second
)

// Alive gives the Supervisor of this process a sign of life (Liveness.Every). Call it from where the work is done: a beat of its own
// would prove nothing but itself. Where nobody asks it does nothing. It blocks for a second at most, when the
// Supervisor does not listen. Any number of goroutines may call it.
func Alive() { notify("WATCHDOG=1") }

// notify sends what it can: a process lives on that nobody hears, if they let it.
func notify(text string) {
	addr := os.Getenv(notifyEnv)
	if addr == "" {
		return
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Net: "unixgram", Name: addr})
	if err != nil {
		return
	}
	defer c.Close()
	c.SetWriteDeadline(time.Now().Add(notifyLimit))
	c.Write([]byte(text))
}

// A notifySocket is the Supervisor's end.
type notifySocket struct {
	conn  *net.UnixConn
	name  string
	pid   int // of the process; set before read
	signs signs
	done  chan struct{} // closed when all is read, and the socket closed
}

func listenNotify(s signs) (*notifySocket, error) {
	name := "@multiproc-" + rand.Text()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: name})
	if err == nil {
		err = passCredentials(conn)
	}
	if err != nil {
		return nil, fmt.Errorf("supervisor: notify socket: %w", err)
	}
	return &notifySocket{conn: conn, name: name, signs: s, done: make(chan struct{})}, nil
}

// passCredentials: an abstract socket has no owner and its name is no secret, so the kernel shall say who sends.
func passCredentials(conn *net.UnixConn) error {
	rc, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	e := rc.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PASSCRED, 1) })
	return errors.Join(e, err)
}

// environ is the child's environment.
func (n *notifySocket) environ(s Spec, every time.Duration) []string {
	env := s.Env
	if env == nil {
		env = os.Environ()
		if dir, err := filepath.Abs(s.Dir); s.Dir != "" && err == nil {
			env = append(env, "PWD="+dir) // as os/exec does, where it fills the environment
		}
	}
	var kept []string
	for _, kv := range env {
		switch key, _, _ := strings.Cut(kv, "="); key {
		case notifyEnv, watchdogEnv, "WATCHDOG_PID": // of our own supervisor
		default:
			kept = append(kept, kv)
		}
	}
	kept = append(kept, notifyEnv+"="+n.name)
	if every > 0 {
		kept = append(kept, watchdogEnv+"="+strconv.FormatInt(every.Microseconds(), 10))
	}
	return kept
}

// read reads until close is called, and then what is left.
func (n *notifySocket) read() {
	defer close(n.done)
	defer n.conn.Close()
	rc, err := n.conn.SyscallConn()
	if err != nil {
		return
	}
	buf, oob := make([]byte, 4096), make([]byte, 256)
	take := func(fd uintptr) (done bool) {
		for range 1024 { // more than a socket holds; but not for ever, should somebody flood it
			size, oobn, flags, _, err := unix.Recvmsg(int(fd), buf, oob, unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
			if err == unix.EINTR {
				continue
			}
			if err != nil {
				return false // nothing there: wait
			}
			if from := sender(oob[:oobn]); from != nil && n.trusts(from) && flags&unix.MSG_TRUNC == 0 {
				n.hear(buf[:size])
			}
		}
		return false
	}
	rc.Read(take)
	rc.Control(func(fd uintptr) { take(fd) })
}

// trusts tells whether a sender is the process, or of its group (systemd-notify, which waits until it was heard, say). What the
// process started as a process of its own has inherited its environment, but does not speak for it.
func (n *notifySocket) trusts(from *unix.Ucred) bool {
	if int(from.Uid) != os.Geteuid() {
		return false
	}
	if int(from.Pid) == n.pid { // perhaps it is gone already
		return true
	}
	group, err := unix.Getpgid(int(from.Pid))
	return err == nil && group == n.pid
}

// sender returns who sent a datagram, and closes descriptors that came along (so systemd-notify knows that it was heard).
func sender(oob []byte) (from *unix.Ucred) {
	list, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	for _, m := range list {
		if cred, err := unix.ParseUnixCredentials(&m); err == nil {
			from = cred
		}
		if fds, err := unix.ParseUnixRights(&m); err == nil {
			for _, fd := range fds {
				unix.Close(fd)
			}
		}
	}
	return from
}

func (n *notifySocket) hear(b []byte) {
	for line := range bytes.Lines(b) {
		switch string(bytes.TrimRight(line, "\n")) {
		case "READY=1":
			give(n.signs.ready)
		case "WATCHDOG=1":
			give(n.signs.alive)
		}
	}
}

// close returns when all that was sent has been heard. Calling it twice is fine.
func (n *notifySocket) close() {
	n.conn.SetReadDeadline(time.Now())
	<-n.done
}
