package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Options are what the command line says, checked.
type Options struct {
	Job      string        // a path, or "-" for standard input
	Workers  int           // at least 1
	Worker   string        // path of a worker program; "": this program itself
	Results  string        // file to append results to; "": none
	LogLevel hclog.Level   //
	Grace    time.Duration // not negative
	Socket   string        // where the job's manager listens; "": in the job's own directory, if it needs one
	Help     bool          // print usage and do nothing
	Version  bool          // print the version and do nothing
}

// A UsageError says in one line what is wrong with the command line.
type UsageError struct{ Text string }

func (e *UsageError) Error() string { return e.Text }

func usageError(format string, args ...any) error { return &UsageError{fmt.Sprintf(format, args...)} }

const usage = `master runs the processes and the tickets of a job file, these in worker processes.

    master -workers 4 -job tickets.json

Every worker is an operating-system process of its own. When one dies, however it dies, the master starts another, and the
ticket that it held is tried again if it has attempts left.

    master manager -listen PATH

serves objects to whoever connects: master manager -h shows more.

    master ipc COMMAND …

is the shell's way to them: master ipc -h shows more.

Flags:
    -job FILE         the job file; "-" reads it from standard input
    -workers N        how many worker processes; default: one per processor (%d here)
    -worker PROGRAM   another program to run as the worker; default: master itself
    -results FILE     append one line of JSON per finished ticket
    -grace DURATION   how long running tickets have to end when they are told to; default 5s
    -socket PATH      serve the shared objects and the pool to other programs there (see master ipc -h)
    -log-level LEVEL  trace, debug, info, warn, error or off, written to standard error; default warn
    -version          print the version
    -h                print this

A job file:
    {
      "shared": {"mutex": {"kind": "lock"}},
      "processes": [
        {"name": "web", "command": ["python3", "-m", "http.server"], "daemon": true, "restart": "permanent"}
      ],
      "tickets": [
        {"id": "hello", "task": "exec", "args": {"command": ["echo", "hello"]}, "timeout": "30s", "attempts": 2},
        {"task": "sleep", "repeat": 5, "args": {"for": "200ms"}},
        {"task": "tickets.buy", "repeat": 20, "attempts": 5,
         "args": {"stock": 10, "db": {"$scratch": "db.json"}, "lock": {"$shared": "mutex"}}}
      ]
    }

Tickets: id, task, args, repeat, attempts, timeout, backoff, delay, priority.

Processes: name; command, or task or entry and args; count, daemon, restart (permanent, transient, temporary), env, dir. They begin
before the tickets. Daemons are told to end after the last ticket, the others are awaited.

Shared kinds: lock {handoff}, rlock, semaphore and bounded_semaphore {permits, handoff}, event, condition, barrier {parties},
value {type, value}, array {type, size or values}, memory {size}, queue {size, bytes}, joinable_queue {size, bytes, redeliver},
file {path}. Types are "int" and "float"; the path "-" is the master's standard output. In a manager, which commands find by the
variable MULTIPROC_SOCKET: dict, namespace and list {items}, simple_queue, lifo_queue and priority_queue {size}; and, with "managed": true,
all the others but memory and file.

Tickets and processes that wait for each other's locks are reported; with "deadlock": "fail" one of them fails, so that the others go on.

Tasks: exec, print, sleep, tickets.buy; lock.exec, semaphore.exec; queue.put, queue.get, queue.exec, queue.close, queue.join; event.set,
event.clear, event.wait; barrier.wait; condition.wait; value.get, value.set, value.add; array.get, array.set, array.add;
memory.read, memory.write; dict.set, dict.add, dict.get, list.append, list.get. scripts/jobs/README.md has their arguments, and jobs to try. Tickets that wait for each other need a
worker each.

Ctrl-C once finishes what runs and starts nothing more; twice tells running tickets to end; three times kills.

Exit status: 0 all succeeded, 1 tickets or processes failed, 2 bad usage or job file, 130 interrupted.
`

// printUsage writes what -h shows.
func printUsage(w io.Writer) error {
	_, err := fmt.Fprintf(w, usage, defaultWorkers())
	return err
}

// defaultWorkers is the number of processors that this process may use, a container's limit included.
func defaultWorkers() int { return runtime.GOMAXPROCS(0) }

// A flagReader is package flag with messages of our own.
type flagReader struct {
	set   *flag.FlagSet
	wants map[string]string // what a flag expects after it
	bad   error             // what was wrong with the last value
}

// add declares a flag whose value parse takes, or refuses.
func (r *flagReader) add(name, wants string, parse func(value string) error) {
	r.wants[name] = wants
	r.set.Func(name, "", func(value string) error {
		err := parse(value)
		if own, ok := errors.AsType[*UsageError](err); ok {
			r.bad = own
		} else if err != nil {
			r.bad = usageError("-%s: found %q; expected %s%s", name, value, wants, unitHint(wants, value))
		}
		return err
	})
}

const wantsDuration = `a duration such as "30s"`

// unitHint is for those who leave the unit of a duration out.
func unitHint(wants, value string) string {
	if wants != wantsDuration {
		return ""
	}
	return secondsHint(value)
}

// newFlags declares all flags; they store into o.
func newFlags(o *Options, level *string) *flagReader {
	r := &flagReader{set: flag.NewFlagSet("master", flag.ContinueOnError), wants: map[string]string{}}
	r.set.SetOutput(io.Discard) // errors come back; package flag would print its own words as well
	text := func(into *string) func(string) error {
		return func(s string) error { *into = s; return nil }
	}
	r.add("job", `a file, or "-" for standard input`, text(&o.Job))
	r.add("workers", "a whole number", func(s string) (err error) { o.Workers, err = strconv.Atoi(s); return })
	r.add("worker", "a program", text(&o.Worker))
	r.add("results", "a file", text(&o.Results))
	r.add("socket", "a path", text(&o.Socket))
	r.add("log-level", "a level", text(level))
	r.add("grace", wantsDuration, func(s string) (err error) { o.Grace, err = time.ParseDuration(s); return })
	r.set.BoolVar(&o.Version, "version", false, "")
	return r
}

// parseFlags reads the command line without the program's name. Every error is a *UsageError.
func parseFlags(args []string) (Options, error) {
	o := Options{Workers: defaultWorkers(), Grace: 5 * time.Second}
	level := "warn"
	r := newFlags(&o, &level)
	err := r.set.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return Options{Help: true}, nil
	case err != nil:
		return o, r.explain(err)
	case o.Version:
		return o, nil
	}
	return o, o.check(r.set.Args(), level)
}

// explain puts package flag's errors in the words of the others.
func (r *flagReader) explain(err error) error {
	text := err.Error()
	if name, ok := strings.CutPrefix(text, "flag provided but not defined: -"); ok {
		return usageError("unknown flag -%s%s", name, r.hint(name))
	}
	if name, ok := strings.CutPrefix(text, "flag needs an argument: -"); ok {
		return usageError("-%s: found nothing; expected %s", name, r.wants[name])
	}
	if r.bad != nil {
		return r.bad
	}
	return usageError("%s", text)
}

func (r *flagReader) hint(wrong string) string {
	var names []string
	r.set.VisitAll(func(f *flag.Flag) { names = append(names, f.Name) })
	if name := near(wrong, names); name != "" {
		return "; did you mean -" + name + "?"
	}
	return ""
}

// check refuses what cannot be meant.
func (o *Options) check(stray []string, level string) error {
	var err error
	switch {
	case len(stray) > 0 && o.Job == "":
		return usageError("master takes no arguments: found %q; did you mean -job %s?", stray[0], stray[0])
	case len(stray) > 0:
		return usageError("master takes no arguments: found %q", stray[0])
	case o.Job == "":
		return usageError(`no job: expected -job FILE, or -job - for standard input (-h shows more)`)
	case o.Workers < 1:
		return usageError("-workers: found %d; expected 1 or more", o.Workers)
	case o.Grace < 0:
		return usageError("-grace: found %v; expected 0s or more", o.Grace)
	}
	if o.LogLevel, err = parseLevel(level); err != nil {
		return err
	}
	return o.findWorker()
}

func parseLevel(level string) (hclog.Level, error) {
	levels := []string{"trace", "debug", "info", "warn", "error", "off"}
	if !slices.Contains(levels, level) {
		return hclog.NoLevel, usageError("-log-level: found %q; expected %s%s", level, oneOf(levels), didYouMean(level, levels))
	}
	return hclog.LevelFromString(level), nil
}

// findWorker looks the worker program up now, rather than failing once per worker place.
func (o *Options) findWorker() error {
	if o.Worker == "" {
		return nil
	}
	path, err := exec.LookPath(o.Worker)
	if errors.Is(err, exec.ErrDot) {
		return usageError("-worker: %s is in the current directory; did you mean ./%s?", o.Worker, o.Worker)
	}
	if err != nil {
		return usageError("-worker: %v", plain(o.Worker, errors.Unwrap(err)))
	}
	o.Worker = path
	return nil
}
