package supervisor

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func TestSplitter(t *testing.T) {
	long := strings.Repeat("x", maxLine)
	for _, test := range []struct {
		in   []string
		want []string // a piece that is not final ends with +
	}{
		{nil, nil},
		{[]string{"a\nb\n"}, []string{"a", "b"}},
		{[]string{"a", "b\n\n", "c"}, []string{"ab", "", "c"}},
		{[]string{"\n"}, []string{""}},
		{[]string{"a\r\n"}, []string{"a\r"}},
		{[]string{long + "\n"}, []string{long}},
		{[]string{long, "\n", "y"}, []string{long, "y"}},
		{[]string{long + "y\n"}, []string{long + "+", "y"}},
		{[]string{"ab" + long, long}, []string{"ab" + long[2:] + "+", long + "+", "xx"}},
		{[]string{long}, []string{long}},
	} {
		var got []string
		s := splitter{emit: func(b []byte, final bool) {
			line := string(b)
			if !final {
				line += "+"
			}
			got = append(got, line)
		}}
		for _, in := range test.in {
			s.write([]byte(in))
		}
		s.end()
		if !slices.Equal(got, test.want) {
			t.Errorf("%.40q: %d lines %.60q, want %d", test.in, len(got), got, len(test.want))
		}
	}
}

func TestTail(t *testing.T) {
	var tl tail
	if got := tl.lines(); len(got) != 0 {
		t.Errorf("empty: %q", got)
	}
	for i := range 30 {
		tl.add(fmt.Append(nil, "line ", i), true)
	}
	tl.add(bytes.Repeat([]byte("é"), tailLength), false)
	tl.add([]byte("rest"), true)
	got := tl.lines()
	if len(got) != tailCount || got[0] != "line 11" || got[18] != "line 29" {
		t.Errorf("%d lines from %q to %q", len(got), got[0], got[18])
	}
	if n := len(got[19]); n < tailLength-1 || n > tailLength+3 {
		t.Errorf("a long line is kept with %d bytes", n)
	}
}

func TestOutput(t *testing.T) {
	checkLeaks(t)
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var out, errs []string
	both := Capture{Limit: 5}
	s := sh("printf 'one\\ntwo'; printf 'warn\\nlast' >&2")
	s.Stdout = Output{Lines: func(b []byte, _ bool) { out = append(out, string(b)) }, Capture: &both}
	s.Stderr = Output{Lines: func(b []byte, _ bool) { errs = append(errs, string(b)) }}
	p := begin(t, s)
	ended(t, p)
	if want := []string{"one", "two"}; !slices.Equal(out, want) {
		t.Errorf("stdout %q", out)
	}
	if want := []string{"warn", "last"}; !slices.Equal(errs, want) || !slices.Equal(p.StderrTail(), want) {
		t.Errorf("stderr %q, tail %q", errs, p.StderrTail())
	}
	if string(both.Bytes()) != "one\nt" || both.Total() != 7 {
		t.Errorf("captured %q of %d", both.Bytes(), both.Total())
	}

	s = sh("echo out; echo err >&2")
	s.Stdout, s.Stderr = Output{File: file}, Output{File: file}
	ended(t, begin(t, s))
	if got, err := os.ReadFile(file.Name()); string(got) != "out\nerr\n" {
		t.Errorf("file: %q, %v", got, err)
	}

	s = sh("echo nobody reads this; exit 5")
	s.Stderr = Output{}
	if exit := ended(t, begin(t, s)); exit.Status() != 5 {
		t.Errorf("into /dev/null: %v", exit)
	}
}

// holder leaves a process behind that has a session of its own and keeps stdout and stderr open.
var holderHelper = helper("holder", func([]string) {
	cmd := exec.Command("sleep", "300")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		fmt.Println(err)
	}
	fmt.Println(cmd.Process.Pid)
	fmt.Fprint(os.Stderr, "last words")
})

// golang/go#23019, PITFALLS 34.
func TestForeignHolderOfThePipeDelaysNothing(t *testing.T) {
	checkLeaks(t)
	line, lines := lineChan()
	s := holderHelper.spec()
	s.Stdout, s.Stderr = Output{Lines: line}, Output{Tail: true}
	p := begin(t, s)
	receive(t, p.Done(), "death, while somebody else holds the pipes")
	if exit := ended(t, p); !exit.Success() {
		t.Errorf("%v %q", exit, p.StderrTail())
	}
	if left := pids(t, lines, 1)[0]; !alive(left) {
		t.Error("the holder did not live: nothing is proved")
	}
	if got := p.StderrTail(); !slices.Equal(got, []string{"last words"}) {
		t.Errorf("tail %q", got)
	}
}

// What a dead process has written is delivered whole, however slow the consumer.
func TestSlowConsumerLosesNothing(t *testing.T) {
	checkLeaks(t)
	var p *Process
	started, n := make(chan bool), 0
	s := sh("seq 1 10000") // 48,894 bytes: more than one read, less than a pipe holds
	s.Stdout = Output{Lines: func([]byte, bool) {
		if n++; n == 1 {
			<-started
			<-p.Done()
			time.Sleep(2 * drainTime) // slow on purpose: the deadline for foreign holders passes
		}
	}}
	p = begin(t, s)
	close(started)
	ended(t, p)
	if n != 10000 {
		t.Errorf("%d lines of 10000", n)
	}
}

// PITFALLS 29: a log that cannot be written must not stop the process.
func TestBlockedLogDoesNotBlockTheProcess(t *testing.T) {
	checkLeaks(t)
	release := make(chan bool)
	var got []string
	s := sh("seq 1 50000 >&2; exit 3") // 289 kB: several pipes full
	s.Stderr = Output{Lines: func(b []byte, _ bool) {
		<-release
		got = append(got, string(b))
	}}
	p := begin(t, s)
	receive(t, p.Done(), "death, while the log blocks")
	close(release)
	if exit := ended(t, p); exit.Status() != 3 {
		t.Errorf("%v", exit)
	}
	lines, dropped := 0, 0
	for _, l := range got {
		var n int
		if _, err := fmt.Sscanf(l, "… %d lines dropped", &n); err == nil {
			dropped += n
		} else {
			lines++
		}
	}
	if dropped == 0 || lines+dropped != 50000 {
		t.Errorf("%d lines and %d dropped, of 50000", lines, dropped)
	}
	if tail := p.StderrTail(); len(tail) != tailCount || tail[tailCount-1] != "50000" {
		t.Errorf("tail %q", tail)
	}
}

func TestLogThatBlocksForEverIsGivenUp(t *testing.T) {
	var calls atomic.Int32
	t.Cleanup(func() { // after the leak check, that is when the consumer's goroutine is gone
		if n := calls.Load(); n != 1 {
			t.Errorf("%d calls, want 1: nothing may come after OutputDone", n)
		}
	})
	checkLeaks(t)
	release := make(chan bool)
	s := sh("echo one >&2; echo two >&2")
	s.Stderr = Output{Lines: func([]byte, bool) { calls.Add(1); <-release }}
	p := begin(t, s)
	receive(t, p.OutputDone(), "output given up")
	if got := p.StderrTail(); len(got) != 2 {
		t.Errorf("tail %q", got)
	}
	close(release)
}

// No line is put together from two when pieces are dropped in between.
func TestDroppedPieces(t *testing.T) {
	var tl tail
	entered, release := make(chan bool), make(chan bool)
	var got []string
	piece := ""
	first := true
	s := newStderrSink(&tl, func(b []byte, final bool) {
		if first {
			first = false
			close(entered)
			<-release
		}
		if piece += string(b); final {
			got = append(got, piece)
			piece = ""
		}
	})
	s.line([]byte("held "), false)
	receive(t, entered, "first piece")
	for range logQueueLines {
		s.line([]byte("x"), false)
	}
	s.line([]byte("dropped"), true)   // the rest of the first line
	s.line([]byte("dropped "), false) // a whole line in pieces
	s.line([]byte("dropped"), true)
	close(release)
	eventually(t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.waiting) == 0
	}, "queue empty")
	s.line([]byte("after"), true)
	s.end()
	want := []string{"held " + strings.Repeat("x", logQueueLines), "… 2 lines dropped", "after"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
