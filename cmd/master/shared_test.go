package main

import (
	"testing"
	"time"

	"github.com/seed-185a7250/multiproc/cmd/internal/stock"
	"github.com/seed-185a7250/multiproc/ipc"
	"github.com/seed-185a7250/multiproc/proto"
)

// arrive sends the args of a ticket as a worker would get them.
func arrive(t *testing.T, args, into any) {
	t.Helper()
	p, err := proto.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	left, err := proto.Unmarshal(p, into, proto.Limits{})
	ipc.CloseFDs(left)
	if err != nil || len(left) > 0 {
		t.Fatalf("left %v, %v", left, err)
	}
}

// What the shipped jobs say fits the stock tasks, and a shared lock arrives as that lock.
func TestShippedJobsFitTheirTasks(t *testing.T) {
	for _, file := range []string{"demo", "tickets"} {
		job, err := OpenJob("../../scripts/jobs/"+file+".json", nil)
		if err != nil {
			t.Fatal(err)
		}
		objects, err := openShared(job, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer objects.close()
		for _, e := range job.Entries {
			args, err := resolve(e.Args, objects.lookup, "/scratch")
			if err != nil {
				t.Fatal(err)
			}
			checkArgs(t, e.Task, args, objects)
		}
	}
}

func checkArgs(t *testing.T, task string, args any, objects sharedObjects) {
	t.Helper()
	switch task {
	case "exec":
		var in stock.ExecArgs
		if arrive(t, args, &in); len(in.Command) == 0 {
			t.Errorf("got %+v", in)
		}
	case "sleep":
		var in stock.SleepArgs
		if arrive(t, args, &in); in.For != stock.Duration(200*time.Millisecond) {
			t.Errorf("got %+v", in)
		}
	case "tickets.buy":
		var in stock.BuyArgs
		if arrive(t, args, &in); in.Stock != 10 || in.DB != "/scratch/db.json" {
			t.Errorf("got %+v", in)
		}
		checkSameLock(t, in.Lock, objects)
	default:
		t.Errorf("unknown task %s", task)
	}
}

func checkSameLock(t *testing.T, arrived *ipc.Lock, objects sharedObjects) {
	t.Helper()
	held, ok, err := arrived.TryAcquire()
	if !ok || err != nil {
		t.Fatalf("got %v, %v", ok, err)
	}
	defer held.Release()
	for name, object := range objects {
		if _, ok, err := object.(*ipc.Lock).TryAcquire(); ok || err != nil {
			t.Errorf("%s is free: %v, %v", name, ok, err)
		}
	}
}
