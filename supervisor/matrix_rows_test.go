package supervisor

import (
	"syscall"
	"time"

	"github.com/seed-185a7250/multiproc/proto"
)

// bySignal is a status of -15 or -9: which one depends on how fast a process ends.
const bySignal = -100

// outcome is what is expected of a ticket.
type outcome struct {
	Outcome  Outcome
	attempts int    // made
	runs     uint64 // executions begun
	status   int    // of the process in the WorkerDiedError; 0: there is none
	value    any    // if ok; nil: any
}

var killed = outcome{OutcomeSignal, 1, 1, -9, nil}
var again = outcome{OutcomeOK, 2, 2, 0, "again"}
var stopped = outcome{OutcomeTimeout, 1, 1, bySignal, nil}
var untouched = outcome{OutcomeOK, 1, 1, 0, nil}

var matrixRows = []struct {
	name    string
	fake    string // program; "" is the real worker
	how     string
	timeout time.Duration
	do      func(*matrix) Result
	once    outcome // with one attempt
	more    outcome // with three
}{{
	name: "before hello, as a replacement", fake: lateWorker, how: "wait",
	do: func(m *matrix) Result {
		at := m.begin()[0]
		kill(at, syscall.SIGKILL)
		for range 2 {
			pid, _ := m.side.next(m)
			kill(mustStat(m, pid), syscall.SIGKILL)
		}
		_, goOn := m.side.next(m)
		goOn()
		return m.end()
	},
	once: killed, more: again,
}, {
	name: "when idle",
	do: func(m *matrix) Result {
		m.signalIdle(syscall.SIGKILL)
		m.submit("")
		return m.end()
	},
	once: untouched, more: untouched,
}, {
	name: "when idle, while a ticket comes",
	do: func(m *matrix) Result {
		m.signalIdle(syscall.SIGSTOP)
		for _, s := range ownChildren() {
			m.frozen(s)
		}
		m.submit("") // it is in the socket of a process that will not read it
		m.signalIdle(syscall.SIGKILL)
		return m.end()
	},
	once: untouched, more: untouched,
}, {
	name: "while running", how: "wait",
	do: func(m *matrix) Result {
		kill(m.begin()[0], syscall.SIGKILL)
		return m.end()
	},
	once: killed, more: again,
}, {
	name: "while running, by SIGTERM", how: "block",
	do: func(m *matrix) Result {
		kill(m.begin()[0], syscall.SIGTERM)
		return m.end()
	},
	once: outcome{OutcomeSignal, 1, 1, -15, nil}, more: again,
}, {
	name: "holding a lock", how: "lock",
	do: func(m *matrix) Result {
		at := m.begin()[0]
		next := m.waiter()
		kill(at, syscall.SIGKILL)
		r := m.end()
		told := receive(m, next, "the next holder")
		if v, _ := r.Value, told; v.Bytes != nil {
			var second string
			if _, err := proto.Unmarshal(v, &second, proto.Limits{}); err != nil {
				m.Fatal(err)
			}
			if told == (second == "owner died") {
				m.Errorf("told that the owner died: waiter %v, second attempt %q", told, second)
			}
		} else if !told {
			m.Error("the next holder was not told that the owner died")
		}
		return r
	},
	once: killed, more: outcome{OutcomeOK, 2, 2, 0, nil},
}, {
	name: "stopped, holding a lock", how: "lock", timeout: 300 * time.Millisecond,
	do: func(m *matrix) Result {
		at := m.begin()[0]
		kill(at, syscall.SIGSTOP)
		m.frozen(at)
		if h, ok, err := m.lock.TryAcquire(); err != nil || ok && alive(at) {
			m.Errorf("lock of a stopped process: %v, %v", ok, err)
		} else if ok {
			h.Release() // it is too late already
		}
		next := m.waiter()
		r := m.end()
		if told := receive(m, next, "the next holder"); alive(at) {
			m.Errorf("the lock was handed on (%v) while the holder lives", told)
		}
		return r
	},
	once: stopped, more: outcome{OutcomeOK, 2, 2, 0, nil},
}, {
	name: "half-way through its result", fake: halfAnswer,
	do: func(m *matrix) Result {
		kill(m.begin()[0], syscall.SIGKILL)
		return m.end()
	},
	once: killed, more: again,
}, {
	name: "stopped half-way through its result", fake: halfAnswer, timeout: 300 * time.Millisecond,
	do: func(m *matrix) Result {
		kill(m.begin()[0], syscall.SIGSTOP)
		return m.end()
	},
	once: stopped, more: again,
}, {
	name: "after its result", fake: lastAnswer,
	do: func(m *matrix) Result {
		m.begin()
		return m.end()
	},
	once: untouched, more: untouched,
}, {
	name: "deaf to SIGTERM", how: "deaf", timeout: 300 * time.Millisecond,
	do: func(m *matrix) Result {
		m.begin()
		return m.end()
	},
	once: outcome{OutcomeTimeout, 1, 1, -9, nil}, more: again,
}, {
	name: "stopped", how: "block", timeout: 300 * time.Millisecond,
	do: func(m *matrix) Result {
		kill(m.begin()[0], syscall.SIGSTOP)
		return m.end()
	},
	once: stopped, more: again,
}, {
	name: "with a grandchild that holds stderr", how: "grandchild",
	do: func(m *matrix) Result {
		at := m.begin()
		kill(at[0], syscall.SIGKILL)
		r := m.end()
		m.gone(at[1])
		return r
	},
	once: killed, more: again,
}, {
	name: "not at all, but a grandchild stays", how: "leave",
	do: func(m *matrix) Result {
		at := m.begin()
		if err := m.conn.Send(within(m.T), "go on"); err != nil {
			m.Fatal(err)
		}
		r := m.end()
		if alive(at[1]) {
			m.Error("the grandchild has outlived the ticket")
		}
		return r
	},
	once: untouched, more: untouched,
}}
