package ipc

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// Four processes use one object and note in shared memory what they did, with the
// numbers of a common clock before and after: a history. It is right if the operations
// can be put in an order, each between its two numbers, in which one process alone would
// have seen the same answers; see linear_model_test.go. What a killed process had begun
// is pending for ever: it may come in at any later place, or have done nothing.

const (
	linearClients = 4
	linearOps     = 60 // of each

	// An operation in memory: the clock before and after (0: pending), what, its argument,
	// and its answer.
	linearWords = 6
)

type linearOp int

const (
	opPut linearOp = iota
	opTryPut
	opGet
	opTryGet
	opLen
	opAcquire
	opTryAcquire
	opRelease
	opValue
	opLoad
	opStore
	opAdd
	opSwap
	opDie // not an operation: the client was killed
)

// Answers beside numbers.
const (
	said     = 1 // it did what it should
	saidNo   = 2 // full, empty, held, not equal
	saidLate = 3 // its context has ended
)

type linearRun struct {
	Queue *Queue[int]
	Lock  *Lock
	Sem   *Semaphore
	Value *Value[int64]
	Wide  *Value[[3]int64] // a large one, all of whose elements are the same
	Log   *Array[uint64]
	Clock *Block // word 0; word 8 counts those who are ready
	ID    int
	Seed  uint64

	n    int // operations noted
	held []Held
	sems int
}

func init() {
	helpers["linear"] = func(c *Conn) error {
		var l linearRun
		if err := c.Recv(context.Background(), &l); err != nil {
			return err
		}
		l.Clock.Word(8).Add(1)
		for l.Clock.Word(8).Load() < linearClients {
		}
		random := rand.New(rand.NewPCG(l.Seed, 0))
		waver(1 + random.Uint32N(8))
		for l.n < linearOps {
			if err := l.step(random); err != nil {
				return err
			}
			for range random.IntN(200) {
				l.Clock.Word(16).Load() // a pause of any length
			}
		}
		if err := c.Send(context.Background(), "done"); err != nil {
			return err
		}
		var end string
		return c.Recv(context.Background(), &end) // what is held stays so until the end
	}
}

func (l *linearRun) step(random *rand.Rand) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(random.IntN(1000))*time.Microsecond)
	defer cancel()
	any := random.IntN(10)
	switch {
	case l.Queue != nil:
		return l.queueStep(ctx, any, l.ID*linearOps+l.n+1)
	case l.Lock != nil:
		return l.lockStep(ctx, any)
	case l.Sem != nil:
		return l.semStep(ctx, any)
	case l.Wide != nil:
		return l.wideStep(any, random.Int64N(3))
	}
	return l.valueStep(any, random.Int64N(3))
}

// note notes one operation; do returns its answer.
func (l *linearRun) note(what linearOp, arg int, do func() (said, answer int, err error)) error {
	at := l.Log.Slice()[(l.ID*linearOps+l.n)*linearWords:]
	l.n++
	at[2], at[3] = uint64(what), uint64(arg)
	atomic.StoreUint64(&at[0], l.Clock.Word(0).Add(1))
	l.yield(0)
	how, answer, err := do()
	l.yield(2)
	if errors.Is(err, context.DeadlineExceeded) {
		how, err = saidLate, nil
	}
	at[4], at[5] = uint64(how), uint64(answer)
	atomic.StoreUint64(&at[1], l.Clock.Word(0).Add(1))
	return err
}

// yield gives the processor to another process, in some operations before and in some
// after the object is used: else few overlap where processors are few.
func (l *linearRun) yield(when int) {
	if (l.n+l.ID)%4 == when {
		syscall.RawSyscall(syscall.SYS_SCHED_YIELD, 0, 0, 0)
	}
}

func (l *linearRun) queueStep(ctx context.Context, any, v int) error {
	switch {
	case any < 3:
		return l.note(opPut, v, func() (int, int, error) { return said, 0, l.Queue.Put(ctx, v) })
	case any < 4:
		return l.note(opTryPut, v, func() (int, int, error) {
			err := l.Queue.TryPut(v)
			if err == ErrFull {
				return saidNo, 0, nil
			}
			return said, 0, err
		})
	case any < 7:
		return l.note(opGet, 0, func() (int, int, error) {
			v, err := l.Queue.Get(ctx)
			return said, v, err
		})
	case any < 8:
		return l.note(opTryGet, 0, func() (int, int, error) {
			v, err := l.Queue.TryGet()
			if err == ErrEmpty {
				return saidNo, 0, nil
			}
			return said, v, err
		})
	}
	return l.note(opLen, 0, func() (int, int, error) { return said, l.Queue.Len(), nil })
}

// lockStep: the answer of an acquisition is the token, and whether the owner died.
func (l *linearRun) lockStep(ctx context.Context, any int) error {
	if len(l.held) > 0 {
		h := l.held[0]
		l.held = nil
		return l.note(opRelease, 0, func() (int, int, error) { return said, 0, h.Release() })
	}
	what := opAcquire
	if any < 5 {
		what = opTryAcquire
	}
	return l.note(what, 0, func() (int, int, error) {
		h, ok, err := Held{}, true, error(nil)
		if what == opAcquire {
			h, err = l.Lock.Acquire(ctx)
		} else {
			h, ok, err = l.Lock.TryAcquire()
		}
		if !ok || err != nil {
			return saidNo, 0, err
		}
		l.held = []Held{h}
		answer := int(h.Token()) * 2
		if h.OwnerDied() {
			answer++
		}
		return said, answer, nil
	})
}

func (l *linearRun) semStep(ctx context.Context, any int) error {
	switch {
	case any < 2:
		return l.note(opValue, 0, func() (int, int, error) { return said, l.Sem.Value(), nil })
	case l.sems > 0 && any < 6:
		l.sems--
		return l.note(opRelease, 0, func() (int, int, error) { return said, 0, l.Sem.Release() })
	case any < 8:
		return l.note(opTryAcquire, 0, func() (int, int, error) {
			ok, err := l.Sem.TryAcquire()
			if !ok || err != nil {
				return saidNo, 0, err
			}
			l.sems++
			return said, 0, nil
		})
	}
	return l.note(opAcquire, 0, func() (int, int, error) {
		err := l.Sem.Acquire(ctx)
		if err == nil {
			l.sems++
		}
		return said, 0, err
	})
}

func (l *linearRun) valueStep(any int, x int64) error {
	switch {
	case any < 3:
		return l.note(opLoad, 0, func() (int, int, error) { return said, int(l.Value.Get()), nil })
	case any < 5:
		return l.note(opStore, int(x), func() (int, int, error) { return said, 0, l.Value.Set(x) })
	case any < 8:
		return l.note(opAdd, int(x), func() (int, int, error) {
			v, err := Add(l.Value, x)
			return said, int(v), err
		})
	}
	return l.note(opSwap, int(x), func() (int, int, error) {
		ok, err := l.Value.CompareAndSwap(x, x+1)
		if !ok {
			return saidNo, 0, err
		}
		return said, 0, err
	})
}

func (l *linearRun) wideStep(any int, x int64) error {
	wide := func(x int64) [3]int64 { return [3]int64{x, x, x} }
	whole := func(v [3]int64) (int, int, error) {
		if v != wide(v[0]) {
			return 0, 0, fmt.Errorf("torn value %v", v)
		}
		return said, int(v[0]), nil
	}
	switch {
	case any < 3:
		return l.note(opLoad, 0, func() (int, int, error) { return whole(l.Wide.Get()) })
	case any < 5:
		return l.note(opStore, int(x), func() (int, int, error) { return said, 0, l.Wide.Set(wide(x)) })
	case any < 8:
		return l.note(opAdd, int(x), func() (int, int, error) {
			v, err := l.Wide.Update(func(v [3]int64) [3]int64 { return wide(v[0] + x) })
			if err != nil {
				return 0, 0, err
			}
			return whole(v)
		})
	}
	return l.note(opSwap, int(x), func() (int, int, error) {
		ok, err := l.Wide.CompareAndSwap(wide(x), wide(x+1))
		if !ok {
			return saidNo, 0, err
		}
		return said, 0, err
	})
}

func TestLinearizable(t *testing.T) {
	kinds := []struct {
		name  string
		model porcupine.Model
		make  func(t *testing.T, l *linearRun)
	}{
		{"queue", queueModel, func(t *testing.T, l *linearRun) {
			l.Queue = newTestQueue[int](t, QueueOptions{Items: linearBound})
		}},
		{"joinable", queueModel, func(t *testing.T, l *linearRun) {
			q := newTestJoinable[int](t, QueueOptions{Items: linearBound})
			l.Queue = &q.Queue
		}},
		{"lock", lockModel, func(t *testing.T, l *linearRun) { l.Lock = newTestLock(t, LockOptions{}) }},
		{"semaphore", semModel, func(t *testing.T, l *linearRun) {
			l.Sem = mustMake[*Semaphore](t)(NewSemaphore(SemaphoreOptions{Permits: linearBound}))
		}},
		{"value", valueModel, func(t *testing.T, l *linearRun) {
			l.Value = mustMake[*Value[int64]](t)(NewValue("", int64(0)))
		}},
		{"large value", valueModel, func(t *testing.T, l *linearRun) {
			l.Wide = mustMake[*Value[[3]int64]](t)(NewValue("", [3]int64{}))
		}},
	}
	for _, k := range kinds {
		for _, kills := range []bool{false, true} {
			name := k.name
			if kills {
				name += " with kills"
			}
			t.Run(name, func(t *testing.T) {
				checkLeaks(t)
				overlaps := 0
				for round := range rounds(t, 6) {
					var l linearRun
					k.make(t, &l)
					history := l.record(t, kills)
					overlaps += overlapping(history)
					switch porcupine.CheckOperationsTimeout(k.model, history, deadline) {
					case porcupine.Illegal:
						t.Fatalf("round %d is not linearizable:\n%s", round, describe(k.model, history))
					case porcupine.Unknown:
						t.Errorf("round %d: no answer within %v", round, deadline)
					}
				}
				t.Logf("%d pairs of operations overlapped", overlaps)
			})
		}
	}
}

// record has four processes use the object, kills one of them if asked, and returns the
// history.
func (l *linearRun) record(t *testing.T, kill bool) []porcupine.Operation {
	t.Helper()
	log, err := NewArray[uint64]("", linearClients*linearOps*linearWords)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	clock, err := NewBlock(32)
	if err != nil {
		t.Fatal(err)
	}
	defer clock.Close()
	l.Log, l.Clock = log, clock
	var procs [linearClients]*child
	for i := range procs {
		x := *l
		x.ID, x.Seed = i, rand.Uint64()
		procs[i] = start(t, "linear")
		procs[i].send(x)
	}
	var deaths []porcupine.Operation
	victim := -1
	if kill {
		victim = rand.IntN(linearClients)
		until(t, "all have begun", func() bool { return clock.Word(8).Load() == linearClients })
		at := clock.Word(0).Load() + uint64(rand.IntN(2*linearClients*linearOps))
		for end := time.Now().Add(5 * time.Millisecond); clock.Word(0).Load() < at && time.Now().Before(end); {
		}
		deaths = append(deaths, porcupine.Operation{
			ClientId: victim, Input: linearInput{opDie, 0, victim},
			Call: int64(clock.Word(0).Add(1)), Output: linearOutput{}, Return: math.MaxInt64,
		})
		procs[victim].kill()
	}
	for i, p := range procs {
		if i != victim {
			p.expect("done")
		}
	}
	history := append(readHistory(log.Slice()), deaths...)
	for _, p := range procs {
		p.Close()
		if !p.dead {
			p.kill()
		}
	}
	return history
}

func readHistory(log []uint64) (history []porcupine.Operation) {
	for i := range linearClients * linearOps {
		at := log[i*linearWords:]
		call := atomic.LoadUint64(&at[0])
		if call == 0 {
			continue
		}
		client := i / linearOps
		o := porcupine.Operation{
			ClientId: client, Input: linearInput{linearOp(at[2]), int(at[3]), client},
			Call: int64(call), Return: math.MaxInt64, Output: linearOutput{},
		}
		if end := atomic.LoadUint64(&at[1]); end != 0 {
			o.Return = int64(end)
			o.Output = linearOutput{int(at[4]), int(at[5])}
		}
		history = append(history, o)
	}
	return history
}

// overlapping counts the pairs of operations that overlap.
func overlapping(history []porcupine.Operation) (n int) {
	for i, a := range history {
		for _, b := range history[:i] {
			if a.Call < b.Return && b.Call < a.Return {
				n++
			}
		}
	}
	return n
}

func describe(m porcupine.Model, history []porcupine.Operation) (text string) {
	sorted := slices.SortedFunc(slices.Values(history), func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
	for _, o := range sorted {
		text += fmt.Sprintf("%d to %d: %s\n", o.Call, o.Return, m.DescribeOperation(o.Input, o.Output))
	}
	return text
}

// The models refuse what is wrong.
func TestModelsRefuse(t *testing.T) {
	op := func(client int, call, end int64, what linearOp, arg, how, answer int) porcupine.Operation {
		return porcupine.Operation{
			ClientId: client, Input: linearInput{what, arg, client}, Call: call, Return: end,
			Output: linearOutput{how, answer},
		}
	}
	for _, c := range []struct {
		name    string
		model   porcupine.Model
		right   bool
		history []porcupine.Operation
	}{
		{"an item twice", queueModel, false, []porcupine.Operation{
			op(0, 1, 2, opPut, 7, said, 0), op(1, 3, 5, opGet, 0, said, 7), op(2, 4, 6, opGet, 0, said, 7)}},
		{"out of order", queueModel, false, []porcupine.Operation{
			op(0, 1, 2, opPut, 7, said, 0), op(0, 3, 4, opPut, 8, said, 0), op(1, 5, 6, opGet, 0, said, 8)}},
		{"lost, and its getter was killed", queueModel, true, []porcupine.Operation{
			op(0, 1, 2, opPut, 7, said, 0), op(1, 3, math.MaxInt64, opGet, 0, 0, 0), op(0, 4, 5, opLen, 0, said, 0)}},
		{"lost", queueModel, false, []porcupine.Operation{
			op(0, 1, 2, opPut, 7, said, 0), op(0, 4, 5, opLen, 0, said, 0)}},
		{"two holders", lockModel, false, []porcupine.Operation{
			op(0, 1, 2, opAcquire, 0, said, 2), op(1, 3, 4, opAcquire, 0, said, 4)}},
		{"handed on by a death that nobody tells of", lockModel, false, []porcupine.Operation{
			op(0, 1, 2, opAcquire, 0, said, 2), op(0, 3, math.MaxInt64, opDie, 0, 0, 0), op(1, 4, 5, opAcquire, 0, said, 4)}},
		{"handed on by a death", lockModel, true, []porcupine.Operation{
			op(0, 1, 2, opAcquire, 0, said, 2), op(0, 3, math.MaxInt64, opDie, 0, 0, 0), op(1, 4, 5, opAcquire, 0, said, 5)}},
		{"one permit too many", semModel, false, []porcupine.Operation{
			op(0, 1, 2, opTryAcquire, 0, said, 0), op(0, 3, 4, opValue, 0, said, linearBound)}},
		{"an addition lost", valueModel, false, []porcupine.Operation{
			op(0, 1, 3, opAdd, 1, said, 1), op(1, 2, 4, opAdd, 1, said, 1)}},
	} {
		if got := porcupine.CheckOperations(c.model, c.history); got != c.right {
			t.Errorf("%s: right %v, expected %v", c.name, got, c.right)
		}
	}
}
