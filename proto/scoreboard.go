package proto

// The scoreboard is one page for each worker place, shared by the master and the
// worker's process alone. It is a table of 64-bit little-endian words. The worker
// writes, without a system call; the master reads, and believes nothing unchecked.
// The constants are the indices of the words.
const (
	ScoreMagic  = 0  // ScoreMagicValue, written last: until then the page says nothing
	ScorePID    = 1  // of the process that writes
	ScoreState  = 2  // ScoreStarting, ScoreIdle, ScoreBusy or ScoreStopping
	ScoreTicket = 3  // id of the current Run request, 0 for none
	ScoreSince  = 4  // when ScoreState last changed, Unix time in ns
	ScoreDone   = 5  // Run requests answered by this process
	ScoreBeat   = 6  // last sign of life, Unix time in ns
	ScorePeak   = 7  // peak of its resident memory (VmHWM), in bytes
	ScoreClaim  = 8  // epoch << 32 | low half of the id of the last Run that was begun; see Claim
	ScoreGroups = 9  // first of ScoreGroupCount words: process groups of commands it runs, 0 for none
	ScoreKept   = 17 // bytes of answers that are kept back; see ScoreKeptOffset
	ScoreItem   = 18 // element of a chunk that is under way, from 1; 0 when none is
	ScoreSpent  = 19 // time spent in Runs that are over, in ns
	ScoreWords  = 20 // words in use; the rest of the page is 0
)

// ScoreGroupCount is the number of words from ScoreGroups on.
const ScoreGroupCount = ScoreKept - ScoreGroups

// A worker may write several answers to its connection at once. Until they are written they lie in the page, as whole
// frames, so that the crash of the next run does not take them along: it is the bytes from ScoreKeptOffset on, and ScoreKept
// tells how many. The master reads them when the worker is dead.
const (
	ScoreKeptOffset = 4096
	ScoreKeptSize   = 28 << 10
	ScoreBytes      = ScoreKeptOffset + ScoreKeptSize // of the whole page
)

// ScoreMagicValue is the word at ScoreMagic: the bytes "MPSCORE1" in this order.
const ScoreMagicValue uint64 = 'M' | 'P'<<8 | 'S'<<16 | 'C'<<24 | 'O'<<32 | 'R'<<40 | 'E'<<48 | '1'<<56

// States of a worker's process, the values of the word at ScoreState.
const (
	ScoreStarting = 0 // its initializer runs
	ScoreIdle     = 1
	ScoreBusy     = 2 // a Run is under way
	ScoreStopping = 3 // it takes no Run any more
)

// A Claim is the word at ScoreClaim. A worker with CapClaim is handed several runs ahead, each with the epoch in which it was
// handed over. It begins one by swapping a Claim of that epoch for one with the run's id; if the epoch is another by then, the
// master has taken back what was not begun, and the run is dropped without an answer. The master takes back by swapping the
// Claim for one of the next epoch.
type Claim uint64

// NewClaim returns the claim of an epoch in which the run with this id was the last that began.
func NewClaim(epoch uint32, id uint64) Claim { return Claim(epoch)<<32 | Claim(uint32(id)) }

// Epoch returns the epoch.
func (c Claim) Epoch() uint32 { return uint32(c >> 32) }

// Begun returns the id of the last run that was begun, given that last is the id of the last one that was handed over.
func (c Claim) Begun(last uint64) uint64 {
	behind := uint32(last) - uint32(c)
	if uint64(behind) > last {
		return 0
	}
	return last - uint64(behind)
}
