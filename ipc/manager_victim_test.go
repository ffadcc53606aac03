package ipc

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/seed-185a7250/multiproc/proto"
)

// An act is what one connection of a victim does: calls, one after another, of which the last
// may wait for ever.
type act struct {
	Calls []partCall
	Half  bool // then it sends half a frame
}

type partCall struct {
	Object int64
	Op     string
	Waits  bool // its answer is not waited for
}

type script struct {
	Path  string
	Parts []act
}

// The helper "manager victim" plays a script, each act over a connection of its own, says
// "ready", and waits for its end.
func init() {
	helpers["manager victim"] = func(c *Conn) error {
		var s script
		if err := c.Recv(context.Background(), &s); err != nil {
			return err
		}
		for _, p := range s.Parts {
			if err := p.play(s.Path); err != nil {
				return err
			}
		}
		if err := c.Send(context.Background(), "ready"); err != nil {
			return err
		}
		var never string
		return c.Recv(context.Background(), &never)
	}
}

func (p act) play(path string) error {
	conn, err := Dial(context.Background(), path, ConnOptions{})
	if err != nil {
		return err
	}
	last := uint64(1)
	hello, err := proto.Marshal([]any{1, []any{}, none})
	if err == nil {
		err = askRaw(conn, last, proto.MethodHello, hello.Bytes, true)
	}
	for _, call := range p.Calls {
		if err != nil {
			return err
		}
		last++
		params := proto.AppendCallParams(nil, proto.Call{Object: proto.ObjectName{ID: uint64(call.Object)}, Op: []byte(call.Op), Wait: proto.Forever})
		err = askRaw(conn, last, proto.MethodCall, params, !call.Waits)
	}
	if p.Half && err == nil {
		_, err = conn.tryWrite([]byte{0, 0, 1, 0, 0})
	}
	return err
}

func askRaw(c *Conn, id uint64, method string, params []byte, wait bool) error {
	if err := c.WriteFrame(nil, proto.AppendRequest(nil, id, method, params)); err != nil || !wait {
		return err
	}
	f, err := c.ReadFrame()
	if err != nil {
		return err
	}
	defer f.Close()
	msg, err := proto.ParseMessage(f.Body, proto.Limits{})
	if err == nil && (msg.ID != id || msg.Fault != nil) {
		err = fmt.Errorf("%s: answer to request %d: %v", method, msg.ID, msg.Fault)
	}
	return err
}

// A stage has one object for each thing that a victim may do to it, a client who waits for what
// the victim has, and one who holds what the victim waits for.
type stage struct {
	t       *testing.T
	m       *Manager
	path    string
	peer    *foreign // waits
	boss    *foreign // holds
	held    int64    // locks: the victim holds it,
	half    int64    // and is half-way through a frame
	awaited int64    // the boss holds it, the victim waits first
	rlock   int64
	permits int64
	turns   int64 // conditions: the victim waits for a notify,
	retaken int64 // for the lock again
	party   int64 // barriers: it waits for others,
	action  int64 // for an action of the boss,
	runner  int64 // runs the action
	other   int64 // lock: nobody's
	victim  *child
}

func newStage(t *testing.T) *stage {
	s := &stage{t: t}
	s.m, s.path = newTestManager(t, ManagerOptions{})
	s.peer, s.boss = dialManager(t, s.path), dialManager(t, s.path)
	f := s.boss
	s.other = f.create("lock")
	s.held, s.half, s.awaited = f.create("lock"), f.create("lock"), f.create("lock")
	s.rlock, s.permits = f.create("rlock"), f.create("semaphore", 2)
	s.turns, s.retaken = f.create("condition"), f.create("condition")
	s.party, s.action, s.runner = f.create("barrier", 3), f.create("barrier", 3, action), f.create("barrier", 2, action)
	return s
}

// Calls of the victim that wait, when all is set up; and of the peer.
const (
	victimWaits = 5
	peerWaits   = 9
)

// set starts a victim and has it do everything at once, and the peer wait for it.
func (s *stage) set() (waits map[string]uint64) {
	s.t.Helper()
	s.victim = start(s.t, "manager victim")
	acquire := func(id int64, n int) (calls []partCall) {
		return slices.Repeat([]partCall{{Object: id, Op: "acquire"}}, n)
	}
	waits = map[string]uint64{}
	wait := func(what string, id int64, op string) {
		waits[what] = s.peer.start(id, op, nil, none)
		s.peer.must(proto.MethodPing, none)
	}
	s.boss.call(s.awaited, "acquire")
	wait("runner", s.runner, "wait")
	s.victim.send(script{s.path, []act{
		{Calls: acquire(s.held, 1)},
		{Calls: acquire(s.half, 1), Half: true},
		{Calls: acquire(s.rlock, 3)},
		{Calls: acquire(s.permits, 2)},
		{Calls: []partCall{{s.runner, "wait", false}}},
		{Calls: []partCall{{s.awaited, "acquire", true}}},
		{Calls: append(acquire(s.turns, 2), partCall{s.turns, "wait", true})},
		{Calls: append(acquire(s.retaken, 2), partCall{s.retaken, "wait", true})},
		{Calls: []partCall{{s.party, "wait", true}}},
		{Calls: []partCall{{s.action, "wait", true}}},
	}})
	s.victim.expect("ready")
	s.m.waits(s.t, 1+victimWaits)

	wait("lock", s.held, "acquire")
	wait("half a frame", s.half, "acquire")
	wait("rlock", s.rlock, "acquire")
	wait("permit", s.permits, "acquire")
	wait("line", s.awaited, "acquire")
	s.boss.call(s.retaken, "acquire")
	want(s.t, s.boss.call(s.retaken, "notify"), int64(1))
	wait("lock of a condition", s.retaken, "acquire")
	wait("party", s.party, "wait")
	wait("action", s.action, "wait")
	want(s.t, s.boss.call(s.action, "wait"), seat(2, true))
	s.m.waits(s.t, victimWaits+peerWaits)
	return waits
}

// ends waits for what the peer gets when the victim is dead, and returns the longest wait from
// begin on. What the victim waited for the boss gives away.
func (s *stage) ends(waits map[string]uint64, begin time.Time) (longest time.Duration) {
	s.t.Helper()
	for what, is := range map[string]func(v any, err error) bool{
		"lock":         inherited,
		"half a frame": inherited,
		"rlock":        inherited,
		"permit":       func(v any, err error) bool { return err == nil },
		"runner":       broke,
		"party":        broke,
		"action":       broke,
	} {
		v, err := s.peer.answer(waits[what])
		longest = max(longest, time.Since(begin))
		if !is(v, err) {
			s.t.Fatalf("%s: the peer got %v, %v", what, v, err)
		}
	}
	s.boss.call(s.awaited, "release")
	s.boss.call(s.retaken, "release")
	for _, what := range []string{"line", "lock of a condition"} {
		v, err := s.peer.answer(waits[what])
		if err != nil || v.([]any)[1] != false {
			s.t.Fatalf("%s: the peer got %v, %v", what, v, err)
		}
	}
	s.boss.call(s.turns, "acquire")
	want(s.t, s.boss.call(s.turns, "notify_all"), int64(0))
	s.boss.call(s.turns, "release")
	s.boss.fails(proto.KindBrokenBarrier, s.action, "done")
	return longest
}

func inherited(v any, err error) bool { return err == nil && v.([]any)[1] == true }

func broke(v any, err error) bool {
	f, ok := err.(*proto.Fault)
	return ok && f.Kind == proto.KindBrokenBarrier
}

// strike clears the stage: nothing may be left of the victim.
func (s *stage) strike() {
	s.t.Helper()
	for _, id := range []int64{s.held, s.half, s.rlock, s.awaited, s.retaken, s.permits} {
		s.peer.call(id, "release")
	}
	for _, id := range []int64{s.party, s.action, s.runner} {
		s.boss.call(id, "reset")
	}
	s.m.open(s.t, 2)
	s.m.nobody(s.t)
	want(s.t, s.boss.call(s.permits, "value"), int64(2))
	s.m.check(s.t, 13, 11) // two locks of conditions
	want(s.t, len(s.peer.got), 0)
}

// A client that is killed, while it holds, waits, takes back, runs an action or is half-way
// through a frame, holds nothing afterwards: the others go on at once.
func TestManagedSyncKilled(t *testing.T) {
	checkLeaks(t)
	s := newStage(t)
	var all []time.Duration
	for range victimRounds() {
		waits := s.set()
		begin := time.Now()
		s.victim.signal(syscall.SIGKILL)
		all = append(all, s.ends(waits, begin))
		s.victim.wait()
		s.strike()
	}
	slices.Sort(all)
	t.Logf("%d kills, 10 connections each: the others waited %v in the median, %v at most", len(all), all[len(all)/2], all[len(all)-1])
	if all[len(all)-1] > time.Second { // 50 ms, on a machine of its own
		t.Errorf("after a kill somebody waited for %v", all[len(all)-1])
	}
}

// A client that is stopped is alive: it keeps what it has, gets what it waits for, and counts as
// one who is notified. Others are not held up. When it is killed then, all that comes back.
func TestManagedSyncStopped(t *testing.T) {
	checkLeaks(t)
	s := newStage(t)
	var longest time.Duration
	for range max(victimRounds()/5, 2) {
		waits := s.set()
		s.victim.stop()
		begin := time.Now()
		for range 20 {
			s.boss.call(s.other, "acquire")
			s.boss.call(s.other, "release")
		}
		longest = max(longest, time.Since(begin)/40)
		s.boss.callWith(poll(0), proto.KindTimeout, s.held, "acquire")
		s.boss.callWith(poll(0), proto.KindTimeout, s.permits, "acquire")
		s.boss.call(s.awaited, "release")
		s.boss.callWith(poll(0), proto.KindTimeout, s.awaited, "acquire") // the victim has it
		s.boss.call(s.turns, "acquire")
		want(t, s.boss.call(s.turns, "notify"), int64(1))
		s.boss.call(s.turns, "release")
		s.boss.callWith(poll(0), proto.KindTimeout, s.turns, "acquire")
		s.boss.call(s.retaken, "release")
		s.boss.callWith(poll(0), proto.KindTimeout, s.retaken, "acquire")
		s.m.waits(t, 2+peerWaits) // the victim's are its parties
		s.victim.kill()
		for _, what := range []string{"lock", "half a frame", "rlock", "line", "lock of a condition"} {
			if v, err := s.peer.answer(waits[what]); !inherited(v, err) {
				t.Fatalf("%s: the peer got %v, %v", what, v, err)
			}
		}
		s.peer.gets(waits["permit"])
		for _, what := range []string{"runner", "party", "action"} {
			s.peer.faults(waits[what], proto.KindBrokenBarrier)
		}
		s.boss.fails(proto.KindBrokenBarrier, s.action, "done")
		v := s.boss.call(s.turns, "acquire")
		want(t, v.([]any)[1], true)
		s.boss.call(s.turns, "release")
		s.strike()
	}
	t.Logf("beside a stopped client an operation took %v at most, in the mean of 40", longest)
}

// A client that is stopped, and goes on, has been given its due.
func TestManagedSyncContinued(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	boss := dialManager(t, path)
	lock := boss.create("lock")
	for range max(victimRounds()/10, 2) {
		boss.call(lock, "acquire")
		v := start(t, "manager victim")
		v.send(script{path, []act{{Calls: []partCall{{lock, "acquire", false}, {lock, "release", false}}}}})
		m.waits(t, 1)
		v.stop()
		boss.call(lock, "release")
		boss.callWith(poll(0), proto.KindTimeout, lock, "acquire")
		v.signal(syscall.SIGCONT)
		v.expect("ready")
		v.kill()
		m.open(t, 1)
		m.nobody(t)
	}
}

// victimRounds is how many victims a test has; MULTIPROC_ROUNDS says otherwise.
func victimRounds() int {
	if n, err := strconv.Atoi(os.Getenv("MULTIPROC_ROUNDS")); err == nil {
		return n
	}
	return 20
}
