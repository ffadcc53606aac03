package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxJobFile bounds what is read at once, so that a wrong path such as /dev/zero is an error and not the end of the machine.
const maxJobFile = 64 << 20

// OpenJob reads a job file, or standard input when the path is "-". What is wrong in the file comes as a *JobError.
func OpenJob(path string, stdin io.Reader) (*Job, error) {
	if path == "-" {
		return readFrom("<stdin>", stdin)
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: no such file%s", path, nearFile(path))
	}
	if err != nil {
		return nil, plain(path, err)
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil && st.IsDir() {
		return nil, fmt.Errorf("%s: is a directory; expected a job file", path)
	}
	return readFrom(path, f)
}

func readFrom(file string, r io.Reader) (*Job, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxJobFile+1))
	if err != nil {
		return nil, plain(file, err)
	}
	if len(text) > maxJobFile {
		return nil, fmt.Errorf("%s: larger than %d MiB; expected a job file", file, maxJobFile>>20)
	}
	return ReadJob(file, text)
}

// plain names a file once: "open x: permission denied" of the os package becomes "x: permission denied".
func plain(file string, err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		err = pe.Err
	}
	return fmt.Errorf("%s: %w", file, err)
}

// nearFile proposes a file in the same directory.
func nearFile(path string) string {
	entries, _ := os.ReadDir(filepath.Dir(path)) // no directory, no proposal
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	name := near(filepath.Base(path), names)
	if name == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", filepath.Join(filepath.Dir(path), name))
}

// ReadJob reads the text of a job file; file is its name in messages. The error is a *JobError with all that is wrong.
func ReadJob(file string, text []byte) (*Job, error) {
	// Some editors begin a file with a byte order mark; it says nothing here and is no mistake.
	src := &source{file: file, text: []byte(strings.TrimPrefix(string(text), "\uFEFF"))}
	root := readTree(src)
	if root == nil {
		return nil, src.err()
	}
	r := &jobReader{src: src, job: &Job{src: src, Name: defaultName(file)}, numbered: map[string]int{}}
	if r.object(root, "the job") {
		readFields(r, root, "the job", jobFieldsFor(root), r.job)
	}
	r.checkRefs()
	r.checkIDs()
	if err := src.err(); err != nil {
		return nil, err
	}
	return r.job, nil
}

// defaultName is what a job is called that does not say: its file without directory and ending.
func defaultName(file string) string {
	if file == "<stdin>" {
		return "job"
	}
	base := filepath.Base(file)
	return strings.TrimSuffix(base, filepath.Ext(base))
}

// A jobReader makes a Job of nodes, and notes what is wrong in the source.
type jobReader struct {
	src      *source
	job      *Job
	numbered map[string]int // how many tickets of a task have been numbered

	sharedNames []string // in file order, also of objects with problems
	refs        []*node  // the names that {"$shared": name} refer to
}

// A field is one key that an object may have. A new key of the job file is a new line in one of these tables.
type field[T any] struct {
	key  string
	must string // what is missing without it: `the name of a task`; "": it may be left out
	read func(*jobReader, *node, *T)
}

// ticketsField is missed only where there are no processes either.
var ticketsField = field[Job]{"tickets", "a list of tickets", (*jobReader).tickets}

func jobFieldsFor(root *node) []field[Job] {
	tickets := ticketsField
	if root.find("processes") != nil {
		tickets.must = ""
	}
	return append(slices.Clone(jobFields), tickets)
}

var jobFields = []field[Job]{
	{"name", "", func(r *jobReader, n *node, j *Job) { j.Name = r.name(n, "name") }},
	{"shared", "", (*jobReader).shared},
	{"deadlock", "", (*jobReader).deadlock},
	{"processes", "", (*jobReader).processes},
}

var ticketFields = []field[Entry]{
	{"id", "", func(r *jobReader, n *node, e *Entry) { e.base, e.idOff = r.name(n, "id"), n.off }},
	{"task", "the name of a task", func(r *jobReader, n *node, e *Entry) { e.Task, e.taskOff = r.name(n, "task"), n.off }},
	{"args", "", func(r *jobReader, n *node, e *Entry) { e.Args = r.args(n) }},
	{"repeat", "", func(r *jobReader, n *node, e *Entry) { e.repeat = r.count(n, "repeat", "") }},
	{"attempts", "", func(r *jobReader, n *node, e *Entry) {
		e.Attempts = r.count(n, "attempts", " (0 is not \"without end\": such a ticket would never run)")
	}},
	{"timeout", "", func(r *jobReader, n *node, e *Entry) { e.Timeout = r.duration(n, "timeout") }},
	{"backoff", "", func(r *jobReader, n *node, e *Entry) { e.Backoff = r.duration(n, "backoff") }},
	{"delay", "", func(r *jobReader, n *node, e *Entry) { e.Delay = r.duration(n, "delay") }},
	{"priority", "", func(r *jobReader, n *node, e *Entry) {
		e.Priority, _ = r.whole(n, "priority", math.MinInt32, math.MaxInt32, "")
	}},
}

// checkIDs refuses two tickets, or two processes, of one name.
func (r *jobReader) checkIDs() {
	var tickets, processes []*series
	for i := range r.job.Entries {
		tickets = append(tickets, &r.job.Entries[i].series)
	}
	for i := range r.job.Processes {
		processes = append(processes, &r.job.Processes[i].series)
	}
	checkIDs(r.src, "id", tickets)
	checkIDs(r.src, "name", processes)
}

// kindField is the key that every shared object has; it is read before the others, which depend on it.
var kindField = field[Shared]{"kind", "the kind of the object", func(*jobReader, *node, *Shared) {}}

// readFields reads an object key by key. A key that the table does not have is refused, since a misspelt option that is
// ignored is worse than none; a missing one is not missed again when a misspelling of it stands there.
func readFields[T any](r *jobReader, n *node, what string, fields []field[T], into *T) {
	keys := make([]string, len(fields))
	for i, f := range fields {
		keys[i] = f.key
	}
	slips := map[string]bool{}
	for _, m := range n.members {
		if !slices.Contains(keys, m.key) {
			slips[near(m.key, keys)] = true
			r.src.problem(m.off, "unknown key %s in %s; %s", quote(m.key), what, keyHint(m.key, keys))
		}
	}
	for _, f := range fields {
		if v := n.find(f.key); v != nil {
			f.read(r, v, into)
		} else if f.must != "" && !slips[f.key] {
			r.src.problem(n.off, "%s has no %q; expected %s", what, f.key, f.must)
		}
	}
}

// keyHint proposes the near key, or tells all there are.
func keyHint(wrong string, keys []string) string {
	if name := near(wrong, keys); name != "" {
		return fmt.Sprintf("did you mean %q?", name)
	}
	return "expected " + oneOf(keys)
}

// deadlock reads what to do about tickets that wait for each other's locks.
func (r *jobReader) deadlock(n *node, j *Job) {
	if !r.text(n, "deadlock") {
		return
	}
	if !slices.Contains(deadlockWays, n.text) {
		r.src.problem(n.off, "deadlock: found %s; expected %s%s", quote(n.text), oneOf(deadlockWays), didYouMean(n.text, deadlockWays))
	}
	j.Deadlock = n.text
}

// shared reads the named objects of a job.
func (r *jobReader) shared(n *node, j *Job) {
	if !r.object(n, "shared") {
		return
	}
	for _, m := range n.members {
		r.sharedNames = append(r.sharedNames, m.key)
		j.Shared = append(j.Shared, r.sharedObject(m))
	}
}

func (r *jobReader) sharedObject(m member) Shared {
	s := Shared{Name: r.printable(m.key, m.off, "the name of a shared object")}
	what := "shared " + quote(m.key)
	if !r.object(m.value, what) {
		return s
	}
	kind := m.value.find("kind")
	if kind == nil {
		readFields(r, m.value, what, []field[Shared]{kindField}, &s)
		return s
	}
	if !r.text(kind, "kind") {
		return s
	}
	k, known := sharedKinds[kind.text]
	if !known {
		kinds := sortedKeys(sharedKinds)
		r.src.problem(kind.off, "unknown kind %s of %s; expected %s%s", quote(kind.text), what, oneOf(kinds), didYouMean(kind.text, kinds))
		return s
	}
	s.Kind = kind.text
	readFields(r, m.value, what, append([]field[Shared]{kindField}, k.options...), &s)
	if k.check != nil {
		k.check(r, m.value, what, &s)
	}
	return s
}

// tickets reads the list of tickets.
func (r *jobReader) tickets(n *node, j *Job) {
	if n.kind != arrayNode {
		r.wrong(n, "tickets", `a list of tickets, such as [{"task": "sleep", "args": {"for": "1s"}}]`)
		return
	}
	for _, item := range n.items {
		if e, ok := r.ticket(item); ok {
			j.Entries = append(j.Entries, e)
		}
	}
}

// ticket reads one entry of the list. It is refused as a whole when nothing can be said about its id.
func (r *jobReader) ticket(n *node) (Entry, bool) {
	e := Entry{Args: map[string]any{}, Attempts: 1, series: series{first: 1, repeat: 1, off: n.off, idOff: n.off}}
	if !r.object(n, "ticket") {
		return e, false
	}
	readFields(r, n, "a ticket", ticketFields, &e)
	if b := n.find("backoff"); b != nil && e.Attempts == 1 {
		r.src.problem(b.off, `backoff: the ticket has one attempt; expected "attempts" of 2 or more`)
	}
	if n.find("id") == nil {
		e.unnamed, e.base, e.first = true, e.Task, r.numbered[e.Task]+1
		r.numbered[e.Task] += e.repeat
	} else {
		e.single = n.find("repeat") == nil
	}
	return e, e.base != "" && e.repeat > 0
}
