package ipc

import (
	"bytes"
	"context"
	"encoding/binary"
	"math/rand/v2"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A queueStorm is what all processes of a storm share. An item is the number of its
// producer and its own, and then bytes that tell whether it is whole.
type queueStorm struct {
	Queue     *Queue[[]byte]
	Joins     *JoinableQueue[[]byte] // instead
	Redeliver bool
	Seen      *Array[uint32] // how often each item was seen
	Put       *Array[uint32] // how many each producer has put
	Block     *Block
	ID        int // of the producer; consumers get
	Get       bool
	Seed      uint64
}

const (
	stormItems = 1 << 15 // of one producer at most

	stormWrong = 0 // items out of order, or not whole
	stormGot   = 8
)

func init() {
	helpers["queue storm"] = func(c *Conn) error {
		var s queueStorm
		if err := c.Recv(context.Background(), &s); err != nil {
			return err
		}
		if s.Joins != nil {
			s.Queue = &s.Joins.Queue
		}
		err := s.run(rand.New(rand.NewPCG(s.Seed, 0)))
		if err == ErrClosed {
			err = nil
		}
		return err
	}
}

func stormItem(id, n int, random *rand.Rand) []byte {
	size := 8 + random.IntN(60)
	switch random.IntN(100) {
	case 0:
		size = random.IntN(10000) + 8
	case 1:
		size = 60000 // by the spill area
	}
	b := bytes.Repeat([]byte{byte(n)}, size)
	binary.BigEndian.PutUint32(b, uint32(id))
	binary.BigEndian.PutUint32(b[4:], uint32(n))
	return b
}

func (s *queueStorm) run(random *rand.Rand) error {
	if s.Get {
		return s.consume(random)
	}
	put := &s.Put.Slice()[s.ID]
	for n := 0; n < stormItems; {
		ctx, cancel := sometimes(true, random)
		if random.IntN(5) == 0 {
			var batch [][]byte
			for i := range min(1+random.IntN(8), stormItems-n) {
				batch = append(batch, stormItem(s.ID, n+i, random))
			}
			done, err := s.Queue.PutAll(ctx, batch)
			n += done
			atomic.StoreUint32(put, uint32(n))
			if err != nil && err != context.DeadlineExceeded {
				return err
			}
		} else if err := s.Queue.Put(ctx, stormItem(s.ID, n, random)); err == nil {
			n++
			atomic.StoreUint32(put, uint32(n))
		} else if err != context.DeadlineExceeded {
			return err
		}
		cancel()
	}
	select {} // until it is killed
}

func (s *queueStorm) consume(random *rand.Rand) error {
	last := map[uint32]uint32{}
	for {
		ctx, cancel := sometimes(true, random)
		var b []byte
		var err error
		var done func() error
		switch {
		case s.Joins == nil && random.IntN(4) == 0:
			var bs [][]byte
			if bs, err = s.Queue.GetUpTo(ctx, 1); err == nil {
				b = bs[0]
			}
		case s.Joins == nil:
			b, err = s.Queue.Get(ctx)
		case random.IntN(2) == 0:
			done = s.Joins.TaskDone
			b, err = s.Queue.Get(ctx)
		default:
			var task Task[[]byte]
			task, err = s.Joins.Take(ctx)
			b, done = task.Value, task.Done
		}
		cancel()
		if err == context.DeadlineExceeded {
			continue
		}
		if err != nil {
			return err
		}
		s.look(b, last)
		if done != nil {
			if err := done(); err != nil {
				return err
			}
		}
	}
}

// look notes that an item was seen.
func (s *queueStorm) look(b []byte, last map[uint32]uint32) {
	id, n := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
	whole := bytes.Equal(b[8:], bytes.Repeat([]byte{byte(n)}, len(b)-8))
	if before, ok := last[id]; !whole || ok && before >= n && s.Joins == nil {
		s.Block.Word(stormWrong).Add(1)
	}
	last[id] = n
	atomic.AddUint32(&s.Seen.Slice()[int(id)*stormItems+int(n)], 1)
	s.Block.Word(stormGot).Add(1)
}

func TestQueueRandomKills(t *testing.T) {
	checkLeaks(t)
	stormOfQueues(t, founding{Options: QueueOptions{Bytes: 64 << 10}})
}

func TestQueueOfItemsRandomKills(t *testing.T) {
	checkLeaks(t)
	stormOfQueues(t, founding{Options: QueueOptions{Bytes: 64 << 10, Items: 5}})
}

func TestJoinableQueueRandomKills(t *testing.T) {
	checkLeaks(t)
	for _, redeliver := range []bool{false, true} {
		stormOfQueues(t, founding{Options: QueueOptions{Bytes: 64 << 10, Redeliver: redeliver}, Joinable: true})
	}
}

// stormOfQueues has two processes put and two get. One of them is killed, or stopped
// for a moment, at a random moment, again and again. In the end every item was seen
// once, or is lost only with the consumer that had taken it. The process that made the
// queue is killed at first, and one of the producers and one of the consumers are
// strangers.
func stormOfQueues(t *testing.T, o founding) {
	n := rounds(t, 40)
	f, k := found(t, o)
	s := queueStorm{Queue: k.Queue, Joins: k.Joins, Redeliver: o.Options.Redeliver}
	strangers := newNest(t)
	var err error
	if s.Seen, err = NewArray[uint32]("", (n+4)*stormItems); err != nil {
		t.Fatal(err)
	}
	defer s.Seen.Close()
	if s.Put, err = NewArray[uint32]("", n+4); err != nil {
		t.Fatal(err)
	}
	defer s.Put.Close()
	if s.Block, err = NewBlock(16); err != nil {
		t.Fatal(err)
	}
	defer s.Block.Close()
	producers, killed := 0, 0
	start := func(i int) *child {
		w := s
		w.Get, w.ID, w.Seed = i%2 == 0, producers, rand.Uint64()
		if !w.Get {
			producers++
		}
		c := strangers.startMixed(i/2, "queue storm")
		c.send(w)
		return c
	}
	var procs [4]*child
	var ids [4]int // of producers
	for i := range procs {
		ids[i] = producers
		procs[i] = start(i)
	}
	f.kill()
	f.Close()
	// busy tells whether a producer lives that still has a lot to put.
	busy := func() bool {
		for i, c := range procs {
			if i%2 != 0 && !c.dead && atomic.LoadUint32(&s.Put.Slice()[ids[i]]) < stormItems/2 {
				return true
			}
		}
		return false
	}
	progress := func(patience time.Duration) bool {
		before := s.Block.Word(stormGot).Load()
		for end := time.Now().Add(patience); s.Block.Word(stormGot).Load() == before; time.Sleep(100 * time.Microsecond) {
			if time.Now().After(end) {
				return false
			}
		}
		return true
	}
	for round := range n {
		time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond) // the random moment
		i := rand.IntN(len(procs))
		if rand.IntN(4) == 0 {
			procs[i].stop()
			progress(50 * time.Millisecond) // if it is not just copying
			procs[i].signal(syscall.SIGCONT)
			continue
		}
		procs[i].kill()
		procs[i].Close()
		if i%2 == 0 {
			killed++
		}
		if busy() && !progress(deadline) {
			t.Fatalf("round %d: the queue stands still after a death", round)
		}
		ids[i] = producers
		procs[i] = start(i)
	}
	for i := range procs {
		if i%2 != 0 {
			procs[i].kill()
			procs[i].Close()
		}
	}
	s.settle(t, procs[0], procs[2])
	s.count(t, producers, killed)
	if wrong := s.Block.Word(stormWrong).Load(); wrong != 0 {
		t.Errorf("%d items out of order, or not whole", wrong)
	}
}

// settle closes the queue when nobody puts any more, and waits for what is left to be
// got, and the consumers to end.
func (s *queueStorm) settle(t *testing.T, consumers ...*child) {
	t.Helper()
	q := s.Queue
	if s.Joins != nil {
		q = &s.Joins.Queue
	}
	q.Close()
	for _, c := range consumers {
		var s string
		if err := c.Recv(within(t), &s); err == context.DeadlineExceeded {
			t.Fatalf("a consumer does not end, with %d items left", q.Len())
		}
		if err := c.wait(); err != nil {
			t.Errorf("a consumer: %v", err)
		}
		c.Close()
	}
	if q.Len() != 0 || !q.Empty() {
		t.Errorf("%d items are left", q.Len())
	}
	if s.Joins != nil {
		if err := s.Joins.Join(within(t)); err != nil {
			n, _ := s.Joins.Unfinished()
			t.Errorf("join: %v, with %d unfinished", err, n)
		}
	}
}

func (s *queueStorm) count(t *testing.T, producers, killed int) {
	t.Helper()
	missing, twice, items := 0, 0, 0
	for id := range producers {
		put := int(atomic.LoadUint32(&s.Put.Slice()[id]))
		for n := range stormItems {
			seen := atomic.LoadUint32(&s.Seen.Slice()[id*stormItems+n])
			switch {
			case seen > 1:
				twice++
			case seen == 0 && n < put:
				missing++
			case seen == 1 && n > put+8:
				t.Errorf("item %d of producer %d was got, and %d were put", n, id, put)
			}
			if seen > 0 {
				items++
			}
		}
	}
	most := killed // each took one item at a time
	if s.Redeliver {
		most = 0
	}
	if missing > most || twice > killed || twice > 0 && !s.Redeliver {
		t.Errorf("%d items are missing, %d came more than once; %d consumers were killed", missing, twice, killed)
	}
	if s.Joins != nil {
		if n, err := s.Joins.Lost(); n < missing || n > most || err != nil {
			t.Errorf("%d items are counted as lost, %v, and %d are missing, %d consumers died", n, err, missing, killed)
		}
	}
	t.Logf("%d items by %d producers; %d consumers were killed, %d items lost, %d seen again", items, producers, killed, missing, twice)
}
