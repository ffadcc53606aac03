package main

import (
	"fmt"
	"io"

	"github.com/seed-185a7250/multiproc/ipc"
	"github.com/seed-185a7250/multiproc/supervisor"
)

// What a job can have done about tickets that wait for each other's locks. They are reported in any case.
const (
	deadlockReport = "report"
	deadlockFail   = "fail" // one of them, so that the others go on
)

var deadlockWays = []string{deadlockReport, deadlockFail}

// locks returns all locks among the objects, those of other objects included.
func (o sharedObjects) locks() (all []ipc.AnyLock) {
	for _, name := range sortedKeys(o) {
		switch object := o[name].(type) {
		case ipc.AnyLock:
			all = append(all, object)
		case interface{ Lock() *ipc.Lock }: // a value, an array
			all = append(all, object.Lock())
		case interface{ Lock() *ipc.RLock }: // a condition
			all = append(all, object.Lock())
		}
	}
	return all
}

// watchDeadlocks tells on stderr of tickets that wait for each other, as long as the job runs.
func watchDeadlocks(job *Job, objects sharedObjects, pool *supervisor.Pool, stderr io.Writer) *supervisor.DeadlockWatch {
	return supervisor.WatchDeadlocks(supervisor.DeadlockOptions{
		Locks:  objects.locks(),
		Pools:  []*supervisor.Pool{pool},
		Fail:   job.Deadlock == deadlockFail,
		Report: func(d supervisor.Deadlock) { io.WriteString(stderr, deadlockText(d)) },
	})
}

// deadlockText says in one line who waits for whom, and in a second what comes of it.
func deadlockText(d supervisor.Deadlock) string {
	next := `kill one of them, or have one fail by "deadlock": "fail" in the job file`
	if d.Failed >= 0 {
		next = d.Parties[d.Failed].Who() + " is told to fail, so that it lets go"
	}
	return fmt.Sprintf("master: deadlock, nobody here can go on: %s\nmaster: deadlock: %s\n", d, next)
}
