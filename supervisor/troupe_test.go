package supervisor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A troupe plays the processes of a Supervisor, in a synctest bubble: a death is a line of a test, and hours take no time.
type troupe struct {
	t      *testing.T
	mu     sync.Mutex
	log    []string // what was done to whom: "+a" started, "-a" told to end, "!a" killed
	last   map[string]*actor
	fails  map[string]error // their next starts fail so
	silent map[string]bool  // they do not say that they are ready
	ends   map[string]time.Duration
	pids   int
	events chan ChildEvent
}

// An actor plays a process.
type actor struct {
	tr    *troupe
	id    string
	pid   int
	signs signs
	ends  time.Duration // how long it takes from SIGTERM to its end
	done  chan struct{}
	once  sync.Once
	exit  Exit
}

func newTroupe(t *testing.T) *troupe {
	return &troupe{
		t: t, last: map[string]*actor{}, fails: map[string]error{}, silent: map[string]bool{},
		ends: map[string]time.Duration{}, events: make(chan ChildEvent, 1000),
	}
}

func (tr *troupe) note(s string) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.log = append(tr.log, s)
}

func (tr *troupe) launch(_ context.Context, c ChildSpec, s signs) (runner, func(), error) {
	tr.note("+" + c.ID)
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if err := tr.fails[c.ID]; err != nil {
		return nil, nil, err
	}
	tr.pids++
	a := &actor{tr: tr, id: c.ID, pid: tr.pids, signs: s, ends: tr.ends[c.ID], done: make(chan struct{})}
	tr.last[c.ID] = a
	if !c.Ready.immediate() && !tr.silent[c.ID] {
		give(s.ready)
	}
	return a, func() {}, nil
}

// options are children a, b, c … of a supervisor with numbers that are easy to count with.
func (tr *troupe) options(s Strategy, ids string) SupervisorOptions {
	o := SupervisorOptions{
		Strategy: s, Intensity: 3, Period: 100 * time.Second, Events: tr.events, launcher: tr.launch,
		Backoff: Backoff{Min: time.Second, Max: 8 * time.Second, Stable: time.Minute},
	}
	for _, id := range strings.Split(ids, "") {
		o.Children = append(o.Children, actorSpec(id))
	}
	return o
}

func actorSpec(id string) ChildSpec {
	return ChildSpec{ID: id, Program: Spec{Path: "/bin/true", Grace: 5 * time.Second}}
}

// open starts a Supervisor, and ends it with the test.
func (tr *troupe) open(o SupervisorOptions) *Supervisor {
	tr.t.Helper()
	s, err := NewSupervisor(tr.t.Context(), o)
	if err != nil {
		tr.t.Fatal(err)
	}
	tr.t.Cleanup(func() { s.Kill(); <-s.Done() })
	synctest.Wait()
	return s
}

// did checks what was done since the last time, once nothing moves any more.
func (tr *troupe) did(want string) {
	tr.t.Helper()
	synctest.Wait()
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if got := strings.Join(tr.log, " "); got != want {
		tr.t.Errorf("did %q, expected %q", got, want)
	}
	tr.log = nil
}

// after lets time pass.
func (tr *troupe) after(d time.Duration, want string) {
	tr.t.Helper()
	time.Sleep(d)
	tr.did(want)
}

// fail makes the next starts of a child fail.
func (tr *troupe) fail(id string, err error) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.fails[id] = err
}

// quiet makes a child not say that it is ready.
func (tr *troupe) quiet(id string) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.silent[id] = true
}

// deaf makes a child not end by SIGTERM, from its next start on.
func (tr *troupe) deaf(id string) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.ends[id] = 100 * time.Hour
}

// die makes the present process of a child end by itself.
func (tr *troupe) die(id string, e Exit) {
	tr.mu.Lock()
	a := tr.last[id]
	tr.mu.Unlock()
	a.end(e)
}

func (tr *troupe) sign(id string) signs {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.last[id].signs
}

func (a *actor) end(e Exit) { a.once.Do(func() { a.exit = e; close(a.done) }) }

func (a *actor) PID() int                    { return a.pid }
func (a *actor) Done() <-chan struct{}       { return a.done }
func (a *actor) OutputDone() <-chan struct{} { return a.done }
func (a *actor) StderrTail() []string        { return []string{"last words of " + a.id} }
func (a *actor) Close() error                { return nil }

func (a *actor) Exit() (Exit, bool) {
	select {
	case <-a.done:
		return a.exit, true
	default:
		return Exit{}, false
	}
}

func (a *actor) Stop(ctx context.Context, grace time.Duration) (Exit, error) {
	if e, dead := a.Exit(); dead {
		return e, nil
	}
	if grace == 0 {
		grace = 5 * time.Second
	}
	if grace > 0 {
		a.tr.note("-" + a.id)
		ends, late := time.NewTimer(a.ends), time.NewTimer(grace)
		defer ends.Stop()
		defer late.Stop()
		select {
		case <-ends.C:
			a.end(Exit{Signal: syscall.SIGTERM})
			return a.exit, nil
		case <-a.done:
			return a.exit, nil
		case <-late.C:
		case <-ctx.Done():
		}
	}
	a.tr.note("!" + a.id)
	a.end(Exit{Signal: syscall.SIGKILL})
	return a.exit, nil
}

// states is how the children are: "a running, b waiting".
func states(s *Supervisor) string {
	synctest.Wait()
	var list []string
	for _, c := range s.Status().Children {
		list = append(list, fmt.Sprintf("%s %s", c.ID, c.State))
	}
	return strings.Join(list, ", ")
}

// kinds are the events up to now: "started a, ready a".
func (tr *troupe) kinds() string {
	synctest.Wait()
	var list []string
	for len(tr.events) > 0 {
		e := <-tr.events
		list = append(list, strings.TrimSpace(string(e.Kind)+" "+e.Child))
	}
	return strings.Join(list, ", ")
}

var (
	failedExit = Exit{Code: 1}
	errNoStart = errors.New("no such program")
)

// pidsOf are the processes of the children, in order: who was not touched keeps its.
func pidsOf(s *Supervisor) (pids []int) {
	for _, c := range s.Status().Children {
		pids = append(pids, c.PID)
	}
	return slices.Clip(pids)
}
