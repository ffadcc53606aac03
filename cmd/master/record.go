package main

import (
	"bytes"
	"encoding/json"
	"time"
)

// The outcomes of a ticket, as the results file and the report name them, in the order of the report.
const (
	outcomeOK        = "ok"        // the task returned a value
	outcomeError     = "error"     // … an error
	outcomePanic     = "panic"     // the task panicked, and its worker with it
	outcomeExit      = "exit"      // the worker ended itself, by os.Exit or a fatal error of the runtime
	outcomeSignal    = "signal"    // a signal killed the worker
	outcomeMemory    = "memory"    // the worker had too much memory and was killed
	outcomeTimeout   = "timeout"   // the last attempt took too long
	outcomeCancelled = "cancelled" // told to end before it was done
	outcomeLost      = "lost"      // no worker could be started for it
)

var outcomes = []string{outcomeOK, outcomeError, outcomePanic, outcomeExit, outcomeSignal, outcomeMemory, outcomeTimeout, outcomeCancelled, outcomeLost}

// A Record is how one ticket ended: a line of the results file, and what the report counts.
//
// A ticket that never ran has attempts, worker and pid 0 and no start; seconds are of the last attempt.
type Record struct {
	ID       string
	Task     string
	Outcome  string
	Attempts int       // how many were started
	Worker   int       // place in the pool of the last attempt, from 1
	PID      int       // of the worker process of the last attempt
	Started  time.Time // of the last attempt
	Elapsed  time.Duration
	Value    any      // what the task returned, when ok
	Failure  *Failure // when not ok
}

// A Failure is why a ticket did not succeed, with the post-mortem of its worker when that died.
type Failure struct {
	Kind       string   `json:"kind"`                  // as in PROTOCOL.md ("error", "panic", "exit_status" …), or the outcome
	Text       string   `json:"text"`                  // for people, one line as a rule
	Stack      string   `json:"stack,omitempty"`       // where in the worker
	Value      any      `json:"value,omitempty"`       // what the error carries, such as a command's output
	Exit       string   `json:"exit,omitempty"`        // how the worker process ended: "exit status 3", "signal: killed"
	PeakMemory uint64   `json:"peak_memory,omitempty"` // of the worker process, bytes
	Stderr     []string `json:"stderr,omitempty"`      // its last lines
}

// line is the record as it stands in the results file, with its newline.
//
// Values are MessagePack, of which JSON is a part; jsonable says what becomes of the rest.
func (r Record) line() ([]byte, error) {
	row := struct {
		ID       string   `json:"id"`
		Task     string   `json:"task"`
		Outcome  string   `json:"outcome"`
		Attempts int      `json:"attempts"`
		Worker   int      `json:"worker"`
		PID      int      `json:"pid"`
		Started  string   `json:"started,omitempty"` // RFC 3339 with nanoseconds, UTC
		Seconds  float64  `json:"seconds"`
		Value    *any     `json:"value,omitempty"` // a pointer, so that a task's nil is "value": null
		Error    *Failure `json:"error,omitempty"`
	}{ID: r.ID, Task: r.Task, Outcome: r.Outcome, Attempts: r.Attempts, Worker: r.Worker, PID: r.PID, Seconds: r.Elapsed.Seconds()}
	if !r.Started.IsZero() {
		row.Started = r.Started.UTC().Format("2006-01-02T15:04:05.000000000Z07:00")
	}
	if r.Failure == nil {
		v := jsonable(r.Value)
		row.Value = &v
	} else {
		f := *r.Failure
		f.Value = jsonable(f.Value)
		row.Error = &f
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // for people and grep, not for a web page
	err := e.Encode(row)   // ends with a newline, and has no other
	return b.Bytes(), err
}
