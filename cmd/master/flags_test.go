package main

import (
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

func TestBadFlags(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("PATH", ".")
	for name, mode := range map[string]os.FileMode{"plain": 0o600, "program": 0o700} {
		if err := os.WriteFile(name, nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	for args, want := range map[string]string{
		"":                           `no job: expected -job FILE, or -job - for standard input (-h shows more)`,
		"tickets.json":               `master takes no arguments: found "tickets.json"; did you mean -job tickets.json?`,
		"-job a.json b.json":         `master takes no arguments: found "b.json"`,
		"-wokers 4":                  `unknown flag -wokers; did you mean -workers?`,
		"--jobs x":                   `unknown flag -jobs; did you mean -job?`,
		"-frobnicate":                `unknown flag -frobnicate`,
		"-job":                       `-job: found nothing; expected a file, or "-" for standard input`,
		"-job x -workers":            `-workers: found nothing; expected a whole number`,
		"-job x -workers 0":          `-workers: found 0; expected 1 or more`,
		"-job x -workers four":       `-workers: found "four"; expected a whole number`,
		"-job x -workers 2.5":        `-workers: found "2.5"; expected a whole number`,
		"-job x -grace 10":           `-grace: found "10"; expected a duration such as "30s"; did you mean "10s"?`,
		"-job x -grace -1s":          `-grace: found -1s; expected 0s or more`,
		"-job x -log-level wran":     `-log-level: found "wran"; expected "trace", "debug", "info", "warn", "error" or "off"; did you mean "warn"?`,
		"-job x -worker ./nope":      `-worker: ./nope: no such file or directory`,
		"-job x -worker ./plain":     `-worker: ./plain: permission denied`,
		"-job x -worker nope":        `-worker: nope: executable file not found in $PATH`,
		"-job x -worker program":     `-worker: program is in the current directory; did you mean ./program?`,
		"-job x -version=maybe":      `invalid boolean value "maybe" for -version: parse error`,
		"-job x -workers 1-2:3\"-\"": `-workers: found "1-2:3\"-\""; expected a whole number`,
	} {
		_, err := parseFlags(strings.Fields(args))
		if ue, ok := err.(*UsageError); !ok || ue.Text != want {
			t.Errorf("master %s\n got: %v\nwant: %s", args, err, want)
		}
	}
}

func TestFlags(t *testing.T) {
	o, err := parseFlags([]string{"-job", "-"})
	want := Options{Job: "-", Workers: runtime.GOMAXPROCS(0), LogLevel: hclog.Warn, Grace: 5 * time.Second}
	if err != nil || o != want {
		t.Errorf("got %+v, %v; want %+v", o, err, want)
	}
	o, err = parseFlags(strings.Fields("-workers=4 --job x.json -worker /bin/true -results r.jsonl -log-level off -grace 0s"))
	want = Options{Job: "x.json", Workers: 4, Worker: "/bin/true", Results: "r.jsonl", LogLevel: hclog.Off}
	if err != nil || o != want {
		t.Errorf("got %+v, %v; want %+v", o, err, want)
	}
	for _, arg := range []string{"-h", "-help", "--help"} {
		if o, err := parseFlags([]string{arg}); err != nil || !o.Help {
			t.Errorf("%s: got %+v, %v", arg, o, err)
		}
	}
	if o, err := parseFlags([]string{"-version"}); err != nil || !o.Version {
		t.Errorf("-version: got %+v, %v", o, err)
	}
}

// What -h shows is true: every flag is there, and the example is a job that is read.
func TestUsage(t *testing.T) {
	var text strings.Builder
	if err := printUsage(&text); err != nil {
		t.Fatal(err)
	}
	for name := range newFlags(new(Options), new(string)).wants {
		if !strings.Contains(text.String(), "\n    -"+name+" ") {
			t.Errorf("-h does not tell of -%s", name)
		}
	}
	_, example, _ := strings.Cut(text.String(), "A job file:\n")
	example, _, _ = strings.Cut(example, "\n\n")
	if job := mustRead(t, example); job.Len() != 26 {
		t.Errorf("the example has %d tickets", job.Len())
	}
}
