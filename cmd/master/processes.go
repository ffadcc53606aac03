package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/go-hclog"

	"github.com/seed-185a7250/multiproc/cmd/internal/stock"
	"github.com/seed-185a7250/multiproc/supervisor"
)

// A child is one process of the job, under a Supervisor of its own: that one of them fails too often is not the others' end.
type child struct {
	name   string
	daemon bool
	tree   *supervisor.Supervisor
}

// processes are those of a running job.
type processes struct {
	children []child
	events   chan supervisor.ChildEvent
	told     chan struct{} // closed when no event is left to tell
}

// startProcesses starts them in file order; when one cannot be started, it ends those before.
func (s starter) startProcesses(ctx context.Context) (*processes, error) {
	ps := &processes{events: make(chan supervisor.ChildEvent, 1024), told: make(chan struct{})}
	go ps.tell(s.log)
	for _, p := range s.job.Processes {
		for i := range p.repeat {
			c, err := s.child(ctx, p, p.id(i), ps.events)
			if err != nil {
				ps.kill()
				ps.join()
				return nil, fmt.Errorf("process %s: %w", p.id(i), err)
			}
			ps.children = append(ps.children, c)
		}
	}
	return ps, nil
}

func (s starter) child(ctx context.Context, p Process, name string, events chan<- supervisor.ChildEvent) (child, error) {
	program, err := s.program(p, name)
	if err != nil {
		return child{}, err
	}
	tree, err := supervisor.NewSupervisor(ctx, supervisor.SupervisorOptions{
		Name:        name,
		Children:    []supervisor.ChildSpec{{ID: name, Program: program, Restart: p.Restart}},
		EndWithLast: true,
		Events:      events,
		Logger:      s.log,
		Subreaper:   true,
	})
	if err != nil { // that it is a child, and whose, is said already
		return child{}, errors.New(strings.TrimPrefix(err.Error(), "supervisor: child "+name+": "))
	}
	return child{name, p.Daemon, tree}, nil
}

// program is what a process runs, and how. A command runs under this very program; tasks and entries are those of the worker
// program.
func (s starter) program(p Process, name string) (supervisor.Program, error) {
	how := supervisor.Spec{
		Name: name, Args: []string{name + ": " + s.job.Name}, Dir: p.Dir, Daemon: p.Daemon,
		Grace:  s.grace(),
		Stdout: supervisor.Output{Lines: wholeLines(s.stdout)},
	}
	env, err := resolve(p.Env, s.objects.lookup, s.scratch)
	if err != nil {
		return nil, err
	}
	how.Env = environment(env.(map[string]any))
	if p.Command != nil {
		list, err := resolve(p.Command, s.objects.lookup, s.scratch)
		if err != nil {
			return nil, err
		}
		return stock.Command.With(words(list.([]any)), how), nil
	}
	args, err := resolve(p.Args, s.objects.lookup, s.scratch)
	if err != nil {
		return nil, err
	}
	if s.opts.Worker != "" {
		if how.Path, err = filepath.Abs(s.opts.Worker); err != nil {
			return nil, err
		}
	}
	return supervisor.RemoteEntry[any](p.Task+p.Entry).With(args, how), nil
}

// environment is the master's with what is added, in an order that does not change.
func environment(added map[string]any) []string {
	env := os.Environ()
	for _, key := range sortedKeys(added) {
		env = append(env, key+"="+added[key].(string))
	}
	return env
}

func words(list []any) []string {
	all := make([]string, len(list))
	for i, v := range list {
		all[i] = v.(string)
	}
	return all
}

// longestLine is where a line is cut, so that one without an end is not collected for ever.
const longestLine = 1 << 20

// wholeLines writes each line with one write, so that no two lines mix.
func wholeLines(w io.Writer) supervisor.LineFunc {
	var line []byte
	return func(b []byte, final bool) {
		line = append(line, b...)
		if final || len(line) >= longestLine {
			w.Write(append(line, '\n')) // if nobody reads, the job is ended by that
			line = bytes.Clone(line[:0])
		}
	}
}

// tell logs what a person should know at once.
func (ps *processes) tell(log hclog.Logger) {
	defer close(ps.told)
	for e := range ps.events {
		switch {
		case e.Kind == supervisor.EventRestart:
			log.Warn("process ended, and is started again", "process", e.Child, "pid", e.End.PID, "end", endText(e.End))
		case e.Kind == supervisor.EventGiveUp:
			log.Error("process ends too often, and is given up", "process", e.Child, "end", endText(e.End))
		}
	}
}

// each calls do for those that are meant.
func (ps *processes) each(do func(*supervisor.Supervisor), meant func(child) bool) {
	for _, c := range ps.children {
		if meant(c) {
			do(c.tree)
		}
	}
}

func all(child) bool { return true }

// drain lets those that run go on, and none be started again.
func (ps *processes) drain() { ps.each((*supervisor.Supervisor).Drain, all) }

// terminate tells all to end.
func (ps *processes) terminate() { ps.each((*supervisor.Supervisor).Terminate, all) }

// kill gives nobody any grace.
func (ps *processes) kill() { ps.each((*supervisor.Supervisor).Kill, all) }

// awaited is how many run that are not daemons.
func (ps *processes) awaited() (n int) {
	for _, c := range ps.children {
		if !c.daemon && slices.ContainsFunc(c.tree.Status().Children, func(s supervisor.ChildStatus) bool { return s.PID != 0 }) {
			n++
		}
	}
	return n
}

// finish applies the exit rules when all tickets are done: daemons are told to end, the others are awaited.
func (ps *processes) finish() {
	ps.each((*supervisor.Supervisor).Terminate, func(c child) bool { return c.daemon })
	ps.join()
}

// join waits for all.
func (ps *processes) join() {
	ps.each(func(s *supervisor.Supervisor) { <-s.Done() }, all)
	close(ps.events)
	<-ps.told
}

// summaries tell how they ended. It is called after finish.
func (ps *processes) summaries() (list []ProcessSummary) {
	for _, c := range ps.children {
		list = append(list, summaryOf(c))
	}
	return list
}

// endText says how a process ended, or why there was none.
func endText(e *supervisor.ChildError) string {
	if e.PID == 0 && e.Err != nil {
		return spoken(e.Err)
	}
	return e.Exit.String()
}

func summaryOf(c child) ProcessSummary {
	s := ProcessSummary{Name: c.name}
	for _, st := range c.tree.Status().Children { // there is one
		s.Restarts = st.Restarts
		if st.Last == nil {
			continue
		}
		s.PID, s.Ended, s.Stderr = st.Last.PID, endText(st.Last), st.Last.Stderr
		s.Failed = st.State == supervisor.ChildFinished && !st.Last.Exit.Success()
		s.Told = st.State == supervisor.ChildTerminated
	}
	if err := c.tree.Err(); err != nil {
		s.Failed, s.Told, s.GaveUp = true, false, true
	}
	return s
}
