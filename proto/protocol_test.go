package proto

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// The normative page names everything that is on the wire, with the numbers that
// the code has.
func TestProtocolPage(t *testing.T) {
	file, err := os.ReadFile("PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(file)
	want := func(s string) {
		if !strings.Contains(page, s) {
			t.Errorf("PROTOCOL.md does not have %q", s)
		}
	}
	for _, kind := range []string{KindError, KindPanic, KindGoexit, KindExitStatus, KindCancelled, KindTimeout, KindUnknownTask, KindUnknownMethod,
		KindArguments, KindResult, KindTooLarge, KindBusy, KindStopping, KindVersion, KindInternal} {
		want("| `" + kind + "` |")
	}
	for _, method := range []string{MethodHello, MethodReady, MethodRun, MethodCancel, MethodStop, MethodEntry} {
		want("### " + method + " — ")
	}
	want(fmt.Sprintf("Methods `%s`, `%s`, `%s`, `%s`", MethodYield, MethodCredit, MethodResolve, MethodClaim))
	for code, name := range map[int8]string{ExtTime: "time", ExtHandle: "handle", ExtTuple: "tuple", ExtSet: "set", ExtFrozenSet: "frozen set", ExtBigInt: "big integer",
		ExtSlice: "slice", ExtObject: "object reference", ExtError: "error", ExtBlob: "opaque blob", ExtComplex: "complex"} {
		want(fmt.Sprintf("| %d | %s |", code, name))
	}
	want(fmt.Sprintf("| %d | block: ", HandleScoreboard))
	for word, name := range map[int]string{ScoreMagic: "magic", ScorePID: "pid", ScoreState: "state", ScoreTicket: "ticket", ScoreSince: "since",
		ScoreDone: "done", ScoreBeat: "beat", ScorePeak: "peak", ScoreClaim: "claim", ScoreKept: "kept", ScoreItem: "item", ScoreSpent: "spent"} {
		want(fmt.Sprintf("| %d | %s |", word, name))
	}
	want(fmt.Sprintf("| %d – %d | groups |", ScoreGroups, ScoreGroups+ScoreGroupCount-1))
	want(fmt.Sprintf("| %d – 511 | | 0, reserved |", ScoreWords))
	want(fmt.Sprintf("from byte %s on |", thousands(ScoreKeptOffset)))
	want(fmt.Sprintf("bytes %s to %s, for which the memfd has %s bytes", thousands(ScoreKeptOffset), thousands(ScoreBytes-1), thousands(ScoreBytes)))
	want(fmt.Sprintf("at most %s, as frames", thousands(ScoreKeptSize)))
	for _, capability := range []string{CapScoreboard, CapClaim} {
		want("`" + capability + "` – it ")
	}
	want(fmt.Sprintf("%d starting, %d idle, %d busy, %d stopping", ScoreStarting, ScoreIdle, ScoreBusy, ScoreStopping))
	for _, n := range []int{defaultFrame, maxValue, defaultElements, defaultElements + envelopeElements, int(maxMilliseconds)} {
		want(thousands(n))
	}
	want(fmt.Sprintf("%d, never more than %d", defaultDescriptors, maxDescriptors))
	want(fmt.Sprintf("| %d levels | arrays", defaultDepth))
	want(fmt.Sprintf("| %d levels | %d for", defaultDepth+envelopeDepth, envelopeDepth))
	want(fmt.Sprintf("str of 1 to %d bytes", maxName))
	want(fmt.Sprintf("of more than %d MiB is refused as a key", maxKey>>20))
	want(fmt.Sprintf("at most %d KiB, the sender", MaxFaultText>>10))
	want(fmt.Sprintf("at most %d KiB, shortened", MaxFaultStack>>10))
	want(fmt.Sprintf("version **%d**", MaxVersion))
	// Every option that a golden frame has is in the message table.
	managed := managedFrames()
	all := frameCases()
	for _, c := range all[:len(all)-len(managed)] {
		for name := range c.decoded {
			switch name {
			case "result", "fault", "params", "max", "tasks", "task", "entry", "args", "id", "version":
				continue
			}
			want("| " + name + " *o* |")
		}
	}
}

// The chapter about managers names every method, every fault, and whatever a golden frame has.
func TestProtocolPageManagers(t *testing.T) {
	file, err := os.ReadFile("PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	_, chapter, ok := strings.Cut(string(file), "\n## Managers\n")
	chapter, _, end := strings.Cut(chapter, "\n## Reserved\n")
	if !ok || !end {
		t.Fatal("PROTOCOL.md has no chapter Managers before Reserved")
	}
	want := func(s string) {
		t.Helper()
		if !strings.Contains(chapter, s) {
			t.Errorf("the chapter does not have %q", s)
		}
	}
	for _, method := range []string{MethodCreate, MethodAttach, MethodIncref, MethodDecref, MethodKeep, MethodList, MethodDescribe, MethodCall, MethodBatch,
		MethodCancel, MethodDeposit, MethodStats, MethodPing, MethodShutdown} {
		want("| `" + method + "` |")
	}
	for _, method := range []string{MethodHello, MethodAuth} {
		want("### " + method + " — request")
	}
	for _, kind := range []string{KindKeyError, KindIndexError, KindAttributeError, KindValueError, KindTypeError, KindOverflow, KindChanged, KindEmpty, KindFull, KindClosed,
		KindNotLocked, KindNotOwner, KindBrokenBarrier, KindTimeout, KindCancelled, KindGone, KindUnknownObject, KindUnknownKind, KindUnknownMethod, KindExists, KindTooMany,
		KindTooLarge, KindDenied, KindArguments, KindBusy} {
		want("`" + kind + "`")
	}
	want("kind " + strconv.Itoa(int(HandleObject)) + " is an object of a manager")
	want(AuthHMAC)
	for _, c := range managedFrames() {
		for name := range c.decoded {
			switch name {
			case "result", "fault", "min", "max", "pid":
				continue
			}
			want(name)
		}
	}
}

func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
