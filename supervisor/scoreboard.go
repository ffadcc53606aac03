package supervisor

import (
	"bytes"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/seed-185a7250/multiproc/ipc"
	"github.com/seed-185a7250/multiproc/proto"
)

// newBoard makes the page of one worker place. It outlives the place's processes.
func newBoard() (*ipc.Block, error) { return ipc.NewBlock(proto.ScoreBytes / 8) }

// clearBoard prepares the page for the next process.
func clearBoard(b *ipc.Block) {
	for i := range proto.ScoreWords {
		b.Word(i).Store(0)
	}
	b.Word(proto.ScoreClaim).Store(uint64(proto.NewClaim(firstEpoch, 0)))
}

// peakOn reads the peak memory off a page, if the page is that of the process pid
// and the figure can be true.
func peakOn(b *ipc.Block, pid int) uint64 {
	peak := b.Word(proto.ScorePeak).Load()
	if !boardOf(b, pid) || peak > 1<<50 {
		return 0
	}
	return peak
}

func boardOf(b *ipc.Block, pid int) bool {
	return b.Word(proto.ScoreMagic).Load() == proto.ScoreMagicValue && b.Word(proto.ScorePID).Load() == uint64(pid)
}

// begun tells whether the process has begun the run with this id, as far as its page
// knows. Runs are numbered from 1, and a worker notes the number before it begins,
// and one more as done before it forgets the number again.
func begun(b *ipc.Block, pid int, id uint64) bool {
	return !boardOf(b, pid) || b.Word(proto.ScoreTicket).Load() == id || b.Word(proto.ScoreDone).Load() >= id
}

// killCommands kills the groups of the commands that a dead worker ran, as far as
// its page lists them and what it says can be true: only processes of a listed group
// that are younger than the worker and of its session, and that are orphans. (Where
// this process is their subreaper they are found without the page.)
func killCommands(b *ipc.Block, worker procStat) {
	listed := map[int]bool{}
	for i := range proto.ScoreGroupCount {
		if g := b.Word(proto.ScoreGroups + i).Load(); g > 1 && g < 1<<22 {
			listed[int(g)] = true
		}
	}
	if len(listed) == 0 || !boardOf(b, worker.pid) {
		return
	}
	all := map[int]procStat{}
	for _, siblings := range allProcesses() {
		for _, s := range siblings {
			all[s.pid] = s
		}
	}
	for _, s := range all {
		if listed[s.pgrp] && s.start >= worker.start && s.session == worker.session && orphaned(s, all) {
			s.kill()
		}
	}
}

// orphaned tells whether a process that is said to be a dead worker's can be. It is somebody else's if this process
// has started it, or if another process of the session stands above it: a sibling, its shell. Above the group of an
// orphan there is only who inherits orphans.
func orphaned(s procStat, all map[int]procStat) bool {
	children.mu.Lock()
	defer children.mu.Unlock()
	for p, ok := s, true; ok && p.pid > 1; p, ok = all[p.ppid] {
		if p.pid == os.Getpid() {
			return p.pgrp != s.pgrp
		}
		if _, ours := children.live[p.pid]; ours || p.pgrp != s.pgrp && p.session == s.session {
			return false
		}
	}
	return true
}

// A scribe is the worker's side: it keeps the page up to date without a system
// call. Without a page it writes to memory of its own.
type scribe struct {
	word [proto.ScoreWords]*atomic.Uint64
	page *ipc.Block // keeps the words mapped
}

func newScribe(page *ipc.Block) *scribe {
	s := &scribe{page: page}
	for i := range s.word {
		if page != nil {
			s.word[i] = page.Word(i)
		} else {
			s.word[i] = new(atomic.Uint64)
		}
	}
	s.word[proto.ScorePID].Store(uint64(os.Getpid()))
	s.beat()
	s.word[proto.ScoreMagic].Store(proto.ScoreMagicValue)
	return s
}

func (s *scribe) state(state, ticket uint64) {
	now := uint64(time.Now().UnixNano())
	s.word[proto.ScoreTicket].Store(ticket)
	s.word[proto.ScoreSince].Store(now)
	s.word[proto.ScoreBeat].Store(now)
	s.word[proto.ScoreState].Store(state)
}

// begin notes that the run with this id is under way, and when that was.
func (s *scribe) begin(id uint64) (now time.Time) {
	now = time.Now()
	s.word[proto.ScoreTicket].Store(id)
	s.word[proto.ScoreSince].Store(uint64(now.UnixNano()))
	s.word[proto.ScoreState].Store(proto.ScoreBusy)
	return now
}

// claim makes the run with this id the one that is under way, unless the master has taken it back.
func (s *scribe) claim(epoch uint32, id uint64) bool {
	for {
		w := s.word[proto.ScoreClaim].Load()
		if proto.Claim(w).Epoch() != epoch {
			return false
		}
		if s.word[proto.ScoreClaim].CompareAndSwap(w, uint64(proto.NewClaim(epoch, id))) {
			return true
		}
	}
}

// done counts a run that has taken so long.
func (s *scribe) done(took time.Duration) {
	s.word[proto.ScoreSpent].Add(uint64(took))
	s.word[proto.ScoreDone].Add(1)
}

// beat says that the process lives, and how large it has been.
func (s *scribe) beat() {
	s.word[proto.ScoreBeat].Store(uint64(time.Now().UnixNano()))
	s.word[proto.ScorePeak].Store(peakMemory())
}

// command notes the process group of a command for as long as it runs: a free word
// is taken and given back.
func (s *scribe) command(pgid int) (done func()) {
	for i := range proto.ScoreGroupCount {
		w := s.word[proto.ScoreGroups+i]
		if w.CompareAndSwap(0, uint64(pgid)) {
			return func() { w.CompareAndSwap(uint64(pgid), 0) }
		}
	}
	return func() {}
}

// peakMemory returns VmHWM of this process in bytes. (What its parent learns from
// wait includes the parent's own pages before exec.)
func peakMemory() uint64 {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(b, []byte("VmHWM:"))
	line, _, _ := bytes.Cut(rest, []byte(" kB"))
	kib, _ := strconv.ParseUint(string(bytes.TrimSpace(line)), 10, 64)
	return kib << 10
}
