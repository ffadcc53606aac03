package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-185a7250/multiproc/supervisor"
)

// What a job file may say is told where people look: every kind, task and key in -h and in scripts/jobs/README.md.
func TestEverythingIsTold(t *testing.T) {
	text, err := os.ReadFile("../../scripts/jobs/README.md")
	if err != nil {
		t.Fatal(err)
	}
	reference := string(text)
	pool, err := supervisor.NewPool(t.Context(), supervisor.PoolOptions{Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	names := append(pool.Tasks(), sortedKeys(sharedKinds)...)
	names = append(names, keysOf(ticketFields)...)
	names = append(names, keysOf(processFields)...)
	for _, name := range append(names, sortedKeys(restarts)...) {
		if !strings.Contains(usage, name) {
			t.Errorf("-h does not tell of %s", name)
		}
	}
	names = append(names, keysOf(append(jobFields, ticketsField))...)
	for _, k := range sharedKinds {
		names = append(names, keysOf(k.options)...)
	}
	for _, name := range names {
		if !strings.Contains(reference, "`"+name+"`") {
			t.Errorf("scripts/jobs/README.md does not tell of %s", name)
		}
	}
	jobs, err := filepath.Glob("../../scripts/jobs/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, j := range jobs {
		if !strings.Contains(reference, "("+filepath.Base(j)+")") {
			t.Errorf("scripts/jobs/README.md does not tell of %s", j)
		}
	}
}

func keysOf[T any](fields []field[T]) (keys []string) {
	for _, f := range fields {
		keys = append(keys, f.key)
	}
	return keys
}
