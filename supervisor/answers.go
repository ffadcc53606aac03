package supervisor

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/seed-185a7250/multiproc/ipc"
	"github.com/seed-185a7250/multiproc/proto"
)

// Answers are what a worker has to say. Several short ones are written to the connection at once; until then they lie in the page that
// the master maps, so that the crash of the next run does not take them along.
type answers struct {
	conn *ipc.Conn

	mu   sync.Mutex
	area []byte         // of the page; nil: nothing is kept back
	n    int            // bytes of it in use
	word *atomic.Uint64 // tells the master n
}

// keepBelow is how many bytes of answers are kept back; the master has enough to do by then.
const keepBelow = 8 << 10

func newAnswers(conn *ipc.Conn, page *ipc.Block) *answers {
	a := &answers{conn: conn}
	if page != nil && 8*page.Len() >= proto.ScoreBytes {
		a.area = page.Range(proto.ScoreKeptOffset, proto.ScoreKeptSize)
		a.word = page.Word(proto.ScoreKept)
	}
	return a
}

// add sends the one response to a request, now or with the next flush; it owns the descriptors of value.
func (a *answers) add(id uint64, fault *proto.Fault, value proto.Payload) error {
	defer ipc.CloseFDs(value.FDs)
	a.mu.Lock()
	defer a.mu.Unlock()
	if fault == nil && len(value.FDs) == 0 && len(value.Bytes) < keepBelow/2 && a.area != nil {
		return a.keep(id, value.Bytes)
	}
	if err := a.flushLocked(); err != nil {
		return err
	}
	if fault != nil {
		return a.conn.WriteFrame(nil, proto.AppendResponse(nil, id, fault, nil))
	}
	err := a.conn.WriteFrame(value.FDs, proto.AppendResponseHead(nil, id), value.Bytes)
	if errors.Is(err, proto.ErrTooLarge) {
		fault = &proto.Fault{Kind: proto.KindTooLarge, Text: fmt.Sprintf("result: %v", err)}
		return a.conn.WriteFrame(nil, proto.AppendResponse(nil, id, fault, nil))
	}
	return err
}

// keep appends a frame, and then says that it is there.
func (a *answers) keep(id uint64, value []byte) error {
	start := a.n
	b := proto.AppendResponseHead(a.area[:start+proto.HeaderSize], id)
	b = append(b, value...)
	proto.AppendHeader(b[:start], proto.Header{Length: len(b) - start - proto.HeaderSize})
	a.n = len(b)
	a.word.Store(uint64(a.n))
	if a.n < keepBelow {
		return nil
	}
	return a.flushLocked()
}

// flush sends what is kept back.
func (a *answers) flush() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.flushLocked()
}

func (a *answers) flushLocked() error {
	if a.n == 0 {
		return nil
	}
	err := a.conn.WriteFrames(a.area[:a.n])
	a.n = 0
	a.word.Store(0)
	return err
}
