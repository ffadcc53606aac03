package main

import (
	"strings"
	"testing"
	"time"
)

func checkReport(t *testing.T, s *Summary, want string) {
	t.Helper()
	var b strings.Builder
	if err := report(&b, s); err != nil {
		t.Fatal(err)
	}
	if got := b.String(); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestReportAllOK(t *testing.T) {
	s := &Summary{Job: "tickets", Tickets: 5, Elapsed: 1534 * time.Millisecond, Results: "r.jsonl"}
	for place := 2; place > 0; place-- {
		s.Seat(place, []int{4710 + place}, 1)
	}
	for i := range 5 {
		s.Add(Record{Outcome: outcomeOK, Attempts: 1, Worker: 1 + i%2, PID: 4711 + i%2, Elapsed: 500 * time.Millisecond})
	}
	checkReport(t, s, `
tickets: 5 tickets in 1.53 s, all ok

  5 ok

  5 attempts, 0 restarts

  worker  tickets          busy  pid
       1        3        1.50 s  4711
       2        2        1.00 s  4712

results: r.jsonl
`)
	if s.ExitStatus() != exitOK {
		t.Errorf("exit status %d", s.ExitStatus())
	}
}

func TestReportFailures(t *testing.T) {
	s := &Summary{Job: "night", Tickets: 21, Elapsed: 62 * time.Second}
	for i := range 9 {
		s.Add(Record{Outcome: outcomeOK, Attempts: 1, Worker: 1, PID: 100 + i})
	}
	s.Add(Record{ID: "leak", Outcome: outcomeSignal, Attempts: 3, Worker: 2, PID: 203, Elapsed: 12345 * time.Millisecond, Failure: &Failure{
		Kind: "signal", Text: "worker died", Exit: "signal: killed", PeakMemory: 300 << 20,
		Stderr: []string{"1", "2", "3", "4", "\x1b[31mred\ttab", "6"}}})
	s.Add(Record{ID: "bug", Outcome: outcomePanic, Attempts: 1, Worker: 2, PID: 204, Elapsed: time.Millisecond, Failure: &Failure{
		Kind: "panic", Text: "index out of range", Exit: "exit status 2", Stack: strings.Repeat("main.f()\n", 10)}})
	s.Add(Record{ID: "cmd", Outcome: outcomeError, Attempts: 1, Worker: 2, PID: 205, Failure: &Failure{Kind: "exit_status", Text: "sh: exit status 3", Exit: "exit status 3"}})
	s.Failed[2].Failure.Value = map[string]any{"stderr": "no such\nfile\n"}
	for range 4 {
		s.Add(Record{ID: "late", Outcome: outcomeCancelled, Failure: &Failure{Kind: "cancelled", Text: "never started"}})
	}
	for i := range 4 {
		s.Add(Record{ID: "slow-" + string(rune('1'+i)), Outcome: outcomeTimeout, Attempts: 1, Worker: 2, PID: 205, Failure: &Failure{Text: "time is over; peak memory 6.2 MiB", PeakMemory: 6 << 20}})
	}
	s.Seat(1, []int{104, 105, 106, 107, 108}, 9)
	s.Seat(2, []int{203, 204, 205}, 3)
	checkReport(t, s, `
night: 21 tickets in 1 min 2 s, 9 ok, 7 failed, 4 cancelled, 1 without a result

  9 ok
  1 error
  1 panic
  1 signal
  4 timeout
  4 cancelled, 4 of them before they began

  18 attempts, 10 restarts

  worker  tickets          busy  pid
       1        9        0.00 s  (4 more), then 104, then 105, then 106, then 107, then 108
       2        7        12.3 s  203, then 204, then 205

leak: signal after 3 attempts, the last on worker 2 (pid 203) for 12.3 s
  worker died
  signal: killed, peak memory 300 MiB
  last lines of its standard error:
    2
    3
    4
    ?[31mred tab
    6

bug: panic after 1 attempt, the last on worker 2 (pid 204) for 0.00 s
  index out of range
  exit status 2
    main.f()
    main.f()
    main.f()
    main.f()
    main.f()
    main.f()
    main.f()
    main.f()
    (2 more lines)

cmd: error after 1 attempt, the last on worker 2 (pid 205) for 0.00 s
  sh: exit status 3
  last lines of its standard error:
    no such
    file

slow-1: timeout after 1 attempt, the last on worker 2 (pid 205) for 0.00 s
  time is over; peak memory 6.2 MiB

slow-2: timeout after 1 attempt, the last on worker 2 (pid 205) for 0.00 s
  time is over; peak memory 6.2 MiB

and 2 more like these (-results FILE keeps them all)
`)
	if s.ExitStatus() != exitFailed {
		t.Errorf("exit status %d", s.ExitStatus())
	}
}

func TestReportInterrupted(t *testing.T) {
	s := &Summary{Job: "job", Tickets: 2, Elapsed: 3*time.Hour + 7*time.Minute + 12*time.Second, Interrupted: true}
	s.Add(Record{Outcome: outcomeOK, Attempts: 1, Worker: 1, PID: 5})
	s.Seat(1, []int{5}, 1)
	checkReport(t, s, `
job: interrupted; 2 tickets in 3 h 7 min, 1 ok, 1 without a result

  1 ok

  1 attempt, 0 restarts

  worker  tickets          busy  pid
       1        1        0.00 s  5
`)
	if s.ExitStatus() != exitInterrupted {
		t.Errorf("exit status %d", s.ExitStatus())
	}
}

func TestReportNothing(t *testing.T) {
	checkReport(t, &Summary{Job: "job"}, `
job: 0 tickets in 0.00 s, nothing to do

  0 attempts, 0 restarts
`)
}

func TestWall(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                                   "0.00 s",
		9994 * time.Millisecond:             "9.99 s",
		9996 * time.Millisecond:             "10.0 s",
		59960 * time.Millisecond:            "1 min 0 s",
		3599*time.Second + 6*time.Second/10: "1 h 0 min",
		26 * time.Hour:                      "26 h 0 min",
	} {
		if got := wall(d); got != want {
			t.Errorf("%v: got %s, want %s", d, got, want)
		}
	}
}
