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
	objects, err := openShared(job)
	if err != nil {
		return exitFailed, err
	}
	defer objects.close()
	scratch, err := newScratch(job)
	if err != nil {
		return exitFailed, err
	}
	defer func() { err = errors.Join(err, scratch.remove()) }()
	sink, err := openSink(o.Results)
	if err != nil {
		return exitFailed, err
	}

	summary := Summary{Job: job.Name, Tickets: job.Len(), Results: o.Results}
	begin := time.Now()
	interrupts := listen(stderr)
	defer interrupts.stop()
	pool, err := newPool(interrupts.context(ctx), o, job, stdout, stderr)
	if err != nil {
		sink.close()
		if interrupts.seen() {
			return exitInterrupted, nil
		}
		return exitFailed, err
	}
	interrupts.end(pool)
	if err := job.CheckTasks(pool.Tasks()); err != nil {
		pool.Terminate()
		pool.Join(context.Background())
		sink.close()
		return exitUsage, err
	}

	run := run{pool: pool, job: job, objects: objects, scratch: scratch, records: make(chan Record)}
	fed := make(chan error, 1)
	go func() { fed <- run.feed() }()
	for r := range run.records {
		summary.Add(r)
		if e := sink.write(r); e != nil && err == nil {
			// What cannot be recorded should not be done: end what runs.
			err = e
			pool.Drain()
		}
	}
	err = errors.Join(err, <-fed, pool.Close(), sink.close())
	for _, place := range pool.Status() {
		summary.Seat(place.Number, place.PIDs, place.Started)
	}
	summary.Elapsed = time.Since(begin)
	summary.Interrupted = interrupts.seen()
	if e := report(stdout, &summary); e != nil && err == nil {
		err = fmt.Errorf("report: %w", e)
	}
	if status = summary.ExitStatus(); err != nil && status == exitOK {
		status = exitFailed
	}
	return status, err
}

func newPool(ctx context.Context, o Options, job *Job, stdout, stderr io.Writer) (*supervisor.Pool, error) {
	return supervisor.NewPool(ctx, supervisor.PoolOptions{
		Workers: o.Workers,
		Name:    job.Name,
		Program: o.Worker,
		Grace:   o.Grace,
		Stdout:  stdout,
		Logger: hclog.New(&hclog.LoggerOptions{
			Name: "master", Level: o.LogLevel, Output: stderr, DisableTime: true,
		}),
		Subreaper: true,
	})
}

// A run is a job under way.
type run struct {
	pool    *supervisor.Pool
	job     *Job
	objects sharedObjects
	scratch scratchDir
	records chan Record // one for each ticket that was submitted; closed when all have come
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
	return r.pool.Submit(context.Background(), supervisor.Ticket{
		ID: t.ID, Task: t.Task, Args: args, Attempts: t.Attempts, Timeout: t.Timeout,
	})
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
	f := &Failure{Kind: string(r.Outcome), Text: r.Err.Error()}
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
