package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/seed-185a7250/multiproc/supervisor"
)

// A starter has what is needed to start what runs in a job.
type starter struct {
	opts    Options
	job     *Job
	objects sharedObjects
	scratch string
	manager *jobManager // nil if there is none
	stdout  io.Writer
	log     hclog.Logger
}

// begun is what runs in a job: the pool for its tickets, and its processes.
type begun struct {
	pool      *supervisor.Pool
	processes *processes
}

// start starts the workers, and then the processes. The error is a *JobError when the workers do not know a task.
func (s starter) start(ctx context.Context) (*begun, error) {
	pool, err := s.newPool(ctx)
	if err != nil {
		return nil, startError(s.opts, err)
	}
	var ps *processes
	if err = s.job.CheckTasks(pool.Tasks()); err == nil {
		if err = s.manager.offer(pool); err == nil && s.withoutTickets() {
			err = pool.Close()
		}
		if err == nil {
			ps, err = s.startProcesses(ctx)
		}
	}
	if err != nil {
		pool.Terminate()
		pool.Join(context.Background())
		return nil, err
	}
	return &begun{pool, ps}, nil
}

// withoutTickets tells whether the job is all processes. Then one worker is asked what tasks it knows, and that is all.
func (s starter) withoutTickets() bool { return s.job.Len() == 0 && len(s.job.Processes) > 0 }

func (s starter) newPool(ctx context.Context) (*supervisor.Pool, error) {
	workers := s.opts.Workers
	if s.withoutTickets() {
		workers = 1
	}
	return supervisor.NewPool(ctx, supervisor.PoolOptions{
		Workers:   workers,
		Name:      s.job.Name,
		Program:   s.opts.Worker,
		Grace:     s.grace(),
		Stdout:    s.stdout,
		Logger:    s.log,
		Subreaper: true,
	})
}

// grace is never 0, which would be the default.
func (s starter) grace() time.Duration { return max(s.opts.Grace, time.Millisecond) }

// finish applies the exit rules when all tickets have their results, and notes which processes there were.
func (b *begun) finish(s *Summary) error {
	err := b.pool.Close()
	b.processes.finish()
	for _, place := range b.pool.Status() {
		s.Seat(place.Number, place.PIDs, place.Started)
	}
	s.Processes = b.processes.summaries()
	return err
}

// drain has what runs finish, and starts no more.
func (b *begun) drain() {
	b.pool.Drain()
	b.processes.drain()
}

// terminate tells all to end.
func (b *begun) terminate() {
	b.pool.Terminate()
	b.processes.terminate()
}

func (b *begun) kill() {
	b.pool.Kill()
	b.processes.kill()
}

// running tells what drain will wait for.
func (b *begun) running() string {
	tickets := 0
	for _, place := range b.pool.Status() {
		if place.State == supervisor.PlaceBusy {
			tickets++
		}
	}
	text := count(tickets, "running ticket")
	switch n := b.processes.awaited(); {
	case n > 0 && tickets == 0:
		return countProcesses(n)
	case n > 0:
		return text + " and " + countProcesses(n)
	}
	return text
}

// called adds the processes, where there are any, to what else there is.
func (b *begun) called(others string) string {
	if len(b.processes.children) > 0 {
		return others + " and processes"
	}
	return others
}

// countProcesses is count for a noun with another plural.
func countProcesses(n int) string {
	if n == 1 {
		return "1 process"
	}
	return fmt.Sprintf("%d processes", n)
}
