package main

import (
	"slices"
	"time"
)

// maxFailedShown is how many failed tickets the report shows with their post-mortems; the rest are counted.
const maxFailedShown = 5

// A Summary is what the report tells. It is counted up while results come in and holds no more of them than is shown, so that it
// stays small however many tickets there are. One goroutine owns it.
type Summary struct {
	Job         string
	Tickets     int           // in the job
	Elapsed     time.Duration // wall time, from before the first worker to after the last
	Interrupted bool          // by a signal; then tickets may be missing
	Results     string        // the results file, or ""
	Processes   []ProcessSummary

	Outcomes map[string]int // tickets by outcome
	NotBegun int            // of those cancelled, how many had not begun
	Attempts int            // started in all
	Workers  []WorkerSummary
	Failed   []Record // the first few that began and are not ok
	Hidden   int      // how many such there are besides
}

// A WorkerSummary is one worker place and the processes that held it.
type WorkerSummary struct {
	Place   int           // from 1
	PIDs    []int         // in the order of their start; of very many, the last
	Started int           // how many there were
	Tickets int           // whose result came from here
	Busy    time.Duration // with the last attempts of these tickets
}

// A ProcessSummary is one process of the job, and how it ended.
type ProcessSummary struct {
	Name     string
	PID      int // of the last; 0: there was none
	Restarts int
	Ended    string   // "exit status 3", "signal: killed"; or why it could not be started
	Told     bool     // to end
	Failed   bool     // it was not told to, and should not have
	GaveUp   bool     // it was started again too often
	Stderr   []string // its last lines
}

// FailedProcesses is how many of them should not have ended as they did.
func (s *Summary) FailedProcesses() (n int) {
	for _, p := range s.Processes {
		if p.Failed {
			n++
		}
	}
	return n
}

// Seat notes which processes a place has had, as the pool tells.
func (s *Summary) Seat(place int, pids []int, started int) {
	w := s.worker(place)
	w.PIDs, w.Started = pids, started
}

// Add counts one finished ticket.
func (s *Summary) Add(r Record) {
	if s.Outcomes == nil {
		s.Outcomes = map[string]int{}
	}
	s.Outcomes[r.Outcome]++
	s.Attempts += r.Attempts
	if r.Worker > 0 {
		w := s.worker(r.Worker)
		w.Tickets++
		w.Busy += r.Elapsed
	}
	switch {
	case r.Outcome == outcomeOK:
	case r.Attempts == 0: // what it says is said once for all of them
		if r.Outcome == outcomeCancelled {
			s.NotBegun++
		}
	case len(s.Failed) < maxFailedShown:
		s.Failed = append(s.Failed, r)
	default:
		s.Hidden++
	}
}

// worker returns the summary of a place, new if need be; they are in order of place.
func (s *Summary) worker(place int) *WorkerSummary {
	i, found := slices.BinarySearchFunc(s.Workers, place, func(w WorkerSummary, place int) int { return w.Place - place })
	if !found {
		s.Workers = slices.Insert(s.Workers, i, WorkerSummary{Place: place})
	}
	return &s.Workers[i]
}

// Finished is the number of tickets that have a result.
func (s *Summary) Finished() int {
	n := 0
	for _, count := range s.Outcomes {
		n += count
	}
	return n
}

// Restarts is how many worker processes were started to replace others.
func (s *Summary) Restarts() int {
	n := 0
	for _, w := range s.Workers {
		n += max(0, w.Started-1)
	}
	return n
}

// ExitStatus is what the command ends with.
func (s *Summary) ExitStatus() int {
	switch {
	case s.Interrupted:
		return exitInterrupted
	case s.Outcomes[outcomeOK] < s.Tickets, s.FailedProcesses() > 0:
		return exitFailed
	}
	return exitOK
}
