package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/seed-185a7250/multiproc/ipc"
	"github.com/seed-185a7250/multiproc/proto"
	"github.com/seed-185a7250/multiproc/supervisor"
)

// execute runs a job from its first process to the report. The error is for stderr; the status says the rest.
func execute(ctx context.Context, o Options, job *Job, stdout, stderr io.Writer) (status int, err error) {
	scratch, err := newScratch(job, job.managed() && o.Socket == "")
	if err != nil {
		return exitFailed, err
	}
	defer func() {
		if e := scratch.remove(); e != nil {
			status, err = max(status, exitFailed), errors.Join(err, e)
		}
	}()
	manager, err := openJobManager(o, job, scratch)
	if err != nil {
		return exitFailed, err
	}
	defer manager.close()
	objects, err := openShared(job, manager)
	if err != nil {
		return exitFailed, err
	}
	defer objects.close()
	sink, err := openSink(o.Results)
	if err != nil {
		return exitFailed, err
	}

	screen := newScreen(stdout)
	summary := Summary{Job: job.Name, Tickets: job.Len(), Results: o.Results}
	begin := time.Now()
	interrupts := listen(stderr, func() { scratch.remove() })
	defer interrupts.stop()
	begun, err := starter{o, job, objects, scratch.path, manager, screen, newLogger(o, stderr)}.start(interrupts.context(ctx))
	if err != nil {
		sink.close()
		if _, wrong := errors.AsType[*JobError](err); !wrong && interrupts.seen() {
			return exitInterrupted, errors.New("interrupted before any ticket began")
		} else if wrong {
			return exitUsage, err
		}
		return exitFailed, err
	}
	interrupts.end(begun)
	defer screen.whenBroken(begun.terminate)() // as SIGPIPE would

	watch := watchDeadlocks(job, objects, begun.pool, stderr)
	defer watch.Stop()
	run := run{pool: begun.pool, job: job, objects: objects, scratch: scratch, records: make(chan Record)}
	fed := make(chan error, 1)
	go func() { fed <- run.feed() }()
	err = run.collect(&summary, sink)
	err = errors.Join(err, <-fed, begun.finish(&summary), sink.close())
	summary.Elapsed = time.Since(begin)
	summary.Interrupted = interrupts.seen()
	err = errors.Join(err, report(screen, &summary))
	if status = summary.ExitStatus(); err != nil && status == exitOK {
		status = exitFailed
	}
	return status, err
}

// startError says which program it is that does not work, where it is not this one.
func startError(o Options, err error) error {
	if o.Worker == "" {
		return err
	}
	return fmt.Errorf("-worker %s: %w", o.Worker, err)
}

func newLogger(o Options, stderr io.Writer) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Name: "master", Level: o.LogLevel, Output: stderr, DisableTime: true})
}

// A run is a job under way.
type run struct {
	pool    *supervisor.Pool
	job     *Job
	objects sharedObjects
	scratch scratchDir
	records chan Record // one for each ticket that was submitted; closed when all have come
}

// collect counts and records results until the last has come. The error is the first of the results file.
func (r *run) collect(summary *Summary, sink sink) (err error) {
	for rec := range r.records {
		summary.Add(rec)
		if e := sink.write(rec); e != nil && err == nil {
			// What cannot be recorded should not be done: begin no more.
			err = e
			r.pool.Drain()
		}
	}
	return err
}

// feed submits the tickets of the job one after another. The pool's backlog is bounded, so that no more of them exist at a time.
func (r *run) feed() error {
	defer close(r.records)
	var waiting sync.WaitGroup
	defer waiting.Wait()
	for t := range r.job.Tickets() {
		pending, err := r.submit(t)
		if errors.Is(err, supervisor.ErrClosed) {
			return nil // interrupted
		}
		if err != nil {
			return err
		}
		waiting.Go(func() {
			result, _ := pending.Result(context.Background())
			r.records <- recordOf(result)
		})
	}
	return nil
}

func (r *run) submit(t Ticket) (*supervisor.Pending, error) {
	tree, err := resolve(t.Args, r.objects.lookup, r.scratch.path)
	if err != nil {
		return nil, fmt.Errorf("ticket %s: %w", t.ID, err)
	}
	args, err := proto.Marshal(tree)
	if err != nil {
		ipc.CloseFDs(args.FDs)
		return nil, fmt.Errorf("ticket %s: %w", t.ID, err)
	}
	ticket := supervisor.Ticket{
		ID: t.ID, Task: t.Task, Args: args, Attempts: t.Attempts,
		Timeout: t.Timeout, Backoff: t.Backoff, Priority: t.Priority,
	}
	if t.Delay > 0 {
		ticket.At = time.Now().Add(t.Delay)
	}
	return r.pool.Submit(context.Background(), ticket)
}

// recordOf makes a line of the results file of what the pool says.
func recordOf(r supervisor.Result) Record {
	rec := Record{
		ID: r.ID, Task: r.Task, Outcome: string(r.Outcome), Attempts: r.Attempts,
		Worker: r.Worker, PID: r.PID, Started: r.Started, Elapsed: r.Elapsed,
	}
	if r.Err == nil {
		rec.Value = decoded(r.Value)
		return rec
	}
	ipc.CloseFDs(r.Value.FDs)
	rec.Failure = failureOf(r)
	return rec
}

func failureOf(r supervisor.Result) *Failure {
	f := &Failure{Kind: string(r.Outcome), Text: spoken(r.Err)}
	if fault, ok := errors.AsType[*proto.Fault](r.Err); ok {
		f.Stack = fault.Stack
		f.Value = decoded(proto.Payload{Bytes: fault.Value})
		if r.Outcome == supervisor.OutcomeError || r.Outcome == supervisor.OutcomePanic {
			f.Kind = fault.Kind
		}
	}
	if died, ok := errors.AsType[*supervisor.WorkerDiedError](r.Err); ok {
		f.Exit, f.PeakMemory, f.Stderr = died.Exit.String(), died.PeakMemory, died.Stderr
	}
	return f
}

// A sink is where results go: a file, or nowhere.
type sink struct{ results *Results }

func openSink(path string) (sink, error) {
	if path == "" {
		return sink{}, nil
	}
	r, err := OpenResults(path)
	return sink{r}, err
}

func (s sink) write(r Record) error {
	if s.results == nil {
		return nil
	}
	return s.results.Write(r)
}

func (s sink) close() error {
	if s.results == nil {
		return nil
	}
	return s.results.Close()
}
