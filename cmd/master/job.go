package main

import (
	"iter"
	"slices"
	"strconv"
	"time"
)

// A Job is what a job file says: shared objects, processes and tickets. Nothing in it changes after reading.
type Job struct {
	Name      string
	Shared    []Shared  // in file order
	Processes []Process // in file order
	Entries   []Entry   // in file order; see Tickets

	Deadlock string // deadlockReport, deadlockFail, or "" for the first

	src *source
}

// Shared is one object that all tickets of a job can be handed.
type Shared struct {
	Name string
	Kind string // a key of sharedKinds

	// What the kind's options say; see there. Zero where it has no such option.
	Handoff   bool
	Redeliver bool
	Permits   int
	Parties   int
	Size      int // of an array or a queue in items, of memory in bytes
	Bytes     int
	Type      string // of numbers: intType or floatType
	Numbers   []number
	Path      string
	Managed   bool
	Items     any // of a dict, a namespace or a list, at first
}

// An Entry is one element of "tickets": a ticket, or as many as its repeat says.
type Entry struct {
	Task     string
	Args     any           // a tree of nil, bool, int64, uint64, float64, string, []any, map[string]any, Ref and Scratch
	Attempts int           // how often it may be started, at least 1
	Timeout  time.Duration // of each attempt, from its start; 0: none
	Backoff  time.Duration // before the second attempt, and twice as much before each further one; 0: none
	Delay    time.Duration // from its submission to its first attempt, at least
	Priority int           // those of a higher one begin first

	series
	taskOff int // where its task stands
}

// A series is the ids of what a job file says once for several: of tickets by "repeat", of processes by "count".
type series struct {
	base    string // the id, or what stands before "-1", "-2" …
	single  bool   // the id is the base itself
	unnamed bool   // the file gives no id; the base is the task
	first   int    // number of the first when not single
	repeat  int    // how many, at least 1

	off   int // where it stands
	idOff int // where its id stands, or off
}

// A Ticket is one unit of work, as the pool takes it.
type Ticket struct {
	ID       string
	Task     string
	Args     any // see Entry; resolve makes it ready for a worker
	Attempts int
	Timeout  time.Duration
	Backoff  time.Duration
	Delay    time.Duration
	Priority int
}

// A Ref stands in args where the file has {"$shared": name}.
type Ref struct{ Name string }

// A Scratch stands in args where the file has {"$scratch": path}: a clean path inside the job's own directory.
type Scratch struct{ Path string }

// Tickets yields all tickets in file order. They are made one at a time, so that a repeat of a million costs nothing.
//
// A ticket with an id and no repeat is called just that; with repeat, nap becomes nap-1, nap-2 …. Tickets without id are numbered
// among those of their task: the first two that sleep are sleep-1 and sleep-2, however many others stand between.
// So a ticket put in or taken out elsewhere in the file leaves their names as they were.
func (j *Job) Tickets() iter.Seq[Ticket] {
	return func(yield func(Ticket) bool) {
		for _, e := range j.Entries {
			for i := range e.repeat {
				if !yield(e.ticket(i)) {
					return
				}
			}
		}
	}
}

// Len is the number of tickets.
func (j *Job) Len() int {
	n := 0
	for _, e := range j.Entries {
		n += e.repeat
	}
	return n
}

// ticket is the i-th ticket of an entry, from 0.
func (e *Entry) ticket(i int) Ticket {
	return Ticket{
		ID: e.id(i), Task: e.Task, Args: e.Args, Attempts: e.Attempts,
		Timeout: e.Timeout, Backoff: e.Backoff, Delay: e.Delay, Priority: e.Priority,
	}
}

// id is the i-th, from 0.
func (s *series) id(i int) string {
	if s.single {
		return s.base
	}
	return s.base + "-" + strconv.Itoa(s.first+i)
}

// CheckTasks refuses tasks that the worker program does not know. It is asked after the first worker said hello, before
// any ticket runs; the error is a *JobError.
func (j *Job) CheckTasks(known []string) error {
	src := &source{file: j.src.file, text: j.src.text}
	check := func(task string, off int) {
		if !slices.Contains(known, task) {
			src.problem(off, "unknown task %s; expected %s%s", quote(task), oneOf(known), didYouMean(task, known))
		}
	}
	for _, p := range j.Processes {
		if p.Task != "" {
			check(p.Task, p.taskOff)
		}
	}
	for _, e := range j.Entries {
		check(e.Task, e.taskOff)
	}
	return src.err()
}
