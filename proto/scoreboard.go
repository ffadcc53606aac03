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
	ScoreClaim  = 8  // reserved for claims: epoch << 32 | started
	ScoreGroups = 9  // first of ScoreGroupCount words: process groups of commands it runs, 0 for none
	ScoreWords  = 17 // words in use; the rest of the page is 0
)

// ScoreGroupCount is the number of words from ScoreGroups on.
const ScoreGroupCount = ScoreWords - ScoreGroups

// ScoreMagicValue is the word at ScoreMagic: the bytes "MPSCORE1" in this order.
const ScoreMagicValue uint64 = 'M' | 'P'<<8 | 'S'<<16 | 'C'<<24 | 'O'<<32 | 'R'<<40 | 'E'<<48 | '1'<<56

// States of a worker's process, the values of the word at ScoreState.
const (
	ScoreStarting = 0 // its initializer runs
	ScoreIdle     = 1
	ScoreBusy     = 2 // a Run is under way
	ScoreStopping = 3 // it takes no Run any more
)
