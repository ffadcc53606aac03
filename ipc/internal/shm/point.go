package shm

// A Point is a place in the code at which a test can kill the process: before
// and after every store that other processes see, and every futex call. In a
// normal build a point is nothing; with the build tag killpoints it is a place
// where [Arm] can strike.
type Point uint8

// The points, in the order of a life: attach, acquire, wait, cancel, release,
// repair, detach.
const (
	PointNone Point = iota
	PointAttachBeforeUsed
	PointAttachBeforeIdent
	PointAttachAfterIdent
	PointAcquireBeforeCAS
	PointAcquireAfterCAS
	PointWaitBeforeOrder
	PointWaitHasOrder
	PointWaitAfterOrder
	PointWaitBeforeFlag
	PointWaitAfterFlag
	PointWaitBeforeWatch
	PointWaitAfterWatch
	PointSleepBefore
	PointSleepAfter
	PointWaitBeforeLeave
	PointWaitAfterLeave
	PointCancelBeforeLeave
	PointCancelAfterLeave
	PointReleaseBeforeCAS
	PointReleaseAfterCAS
	PointReleaseBeforeClear
	PointReleaseAfterClear
	PointWakeBeforeStore
	PointWakeBeforeFutex
	PointWakeAfter
	PointPassOverBefore
	PointPassOverAfter
	PointRepairBeforeWord
	PointRepairAfterWord
	PointRepairBeforeOrder
	PointRepairAfterOrder
	PointRepairBeforeHeld
	PointRepairAfterHeld
	PointRepairAfterIdent
	PointHeldBefore
	PointHeldAfter
	PointNoteBefore
	PointNoteAfter
	PointReserveBefore
	PointReserveAfter
	PointGrantBefore
	PointGrantAfter
	PointFlagBefore
	PointFlagAfter
	PointWantBefore
	PointWantHalf
	PointWantAfter
	PointWantBeforeEnd
	PointWantAfterEnd
	PointRefuseBefore
	PointRefuseAfter
	PointDetachBefore
	PointDetachAfter
	numPoints
)

var pointNames = [numPoints]string{
	PointNone:               "none",
	PointAttachBeforeUsed:   "attach: before the mark of used slots",
	PointAttachBeforeIdent:  "attach: before the slot is taken",
	PointAttachAfterIdent:   "attach: after the slot is taken",
	PointAcquireBeforeCAS:   "acquire: before the state word",
	PointAcquireAfterCAS:    "acquire: after the state word",
	PointWaitBeforeOrder:    "wait: before queueing",
	PointWaitHasOrder:       "wait: between drawing a number and queueing",
	PointWaitAfterOrder:     "wait: after queueing",
	PointWaitBeforeFlag:     "wait: before the waiters flag",
	PointWaitAfterFlag:      "wait: after the waiters flag",
	PointWaitBeforeWatch:    "wait: before watching",
	PointWaitAfterWatch:     "wait: after watching",
	PointSleepBefore:        "wait: before the futex call",
	PointSleepAfter:         "wait: after the futex call",
	PointWaitBeforeLeave:    "wait: acquired, before leaving the queue",
	PointWaitAfterLeave:     "wait: acquired, after leaving the queue",
	PointCancelBeforeLeave:  "cancel: before leaving the queue",
	PointCancelAfterLeave:   "cancel: after leaving the queue, before passing on",
	PointReleaseBeforeCAS:   "release: before the state word",
	PointReleaseAfterCAS:    "release: after the state word, before waking",
	PointReleaseBeforeClear: "release: nobody waits, before the flags are cleared",
	PointReleaseAfterClear:  "release: nobody waits, after the flags are cleared",
	PointWakeBeforeStore:    "wake: before the sleeper's word",
	PointWakeBeforeFutex:    "wake: after the sleeper's word, before the futex call",
	PointWakeAfter:          "wake: after the futex call",
	PointPassOverBefore:     "pass over: before the stopped goes to the end",
	PointPassOverAfter:      "pass over: after the stopped went to the end",
	PointRepairBeforeWord:   "repair: before the state word",
	PointRepairAfterWord:    "repair: after the state word",
	PointRepairBeforeOrder:  "repair: before the dead leaves the queue",
	PointRepairAfterOrder:   "repair: after the dead left the queue, before its slot is free",
	PointRepairBeforeHeld:   "repair: before what the dead held is taken back",
	PointRepairAfterHeld:    "repair: after what the dead held was taken back",
	PointRepairAfterIdent:   "repair: after the slot of the dead is free",
	PointHeldBefore:         "change: before what is held or counted",
	PointHeldAfter:          "change: after what is held or counted, before waking",
	PointNoteBefore:         "note: before the place in a round is noted",
	PointNoteAfter:          "note: after the place in a round is noted, before it counts",
	PointReserveBefore:      "reserve: before the word that says who gets a permit",
	PointReserveAfter:       "reserve: after the word that says who gets a permit, before he gets it",
	PointGrantBefore:        "notify: before a process is granted a notification",
	PointGrantAfter:         "notify: after a process was granted a notification, before it is woken",
	PointFlagBefore:         "flag: before the mark that somebody waits",
	PointFlagAfter:          "flag: after the mark that somebody waits",
	PointWantBefore:         "want: before it is noted at a lock that is held",
	PointWantHalf:           "want: half noted",
	PointWantAfter:          "want: after it is noted",
	PointWantBeforeEnd:      "want: the wait is over, before it is taken back",
	PointWantAfterEnd:       "want: the wait is over, after it is taken back",
	PointRefuseBefore:       "refuse: before",
	PointRefuseAfter:        "refuse: after",
	PointDetachBefore:       "detach: before",
	PointDetachAfter:        "detach: after",
}

func (p Point) String() string { return pointNames[p] }

// Points lists all of them.
func Points() []Point {
	ps := make([]Point, 0, numPoints-1)
	for p := PointNone + 1; p < numPoints; p++ {
		ps = append(ps, p)
	}
	return ps
}
