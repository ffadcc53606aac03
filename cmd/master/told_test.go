package main

import (
	"os"
	"strings"
	"testing"

	"github.com/seed-185a7250/multiproc/supervisor"
)

// What a job file may name is told where people look: every kind and every task, in -h and in README.md.
func TestEverythingIsTold(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	pool, err := supervisor.NewPool(t.Context(), supervisor.PoolOptions{Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	for _, name := range append(pool.Tasks(), sortedKeys(sharedKinds)...) {
		if !strings.Contains(usage, name) {
			t.Errorf("-h does not tell of %s", name)
		}
		if !strings.Contains(string(readme), "`"+name+"`") {
			t.Errorf("README.md does not tell of %s", name)
		}
	}
	for _, k := range sharedKinds {
		for _, o := range k.options {
			if !strings.Contains(string(readme), "`"+o.key+"`") {
				t.Errorf("README.md does not tell of the option %s", o.key)
			}
		}
	}
	jobs, err := os.ReadDir("../../scripts/jobs")
	if err != nil {
		t.Fatal(err)
	}
	for _, j := range jobs {
		if !strings.Contains(string(readme), "scripts/jobs/"+j.Name()) && j.Name() != "demo.json" {
			t.Errorf("README.md does not tell of %s", j.Name())
		}
	}
}
