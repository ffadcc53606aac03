package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// badJobs reads testdata/bad.txt: after each line "== name" stands a job file, after "=>" what must be said about it. In the
// texts, \xNN stands for that byte, so that the file itself stays text.
func badJobs(t *testing.T) map[string][2]string {
	t.Helper()
	text, err := os.ReadFile("testdata/bad.txt")
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string][2]string{}
	for _, part := range strings.Split("\n"+string(text), "\n== ")[1:] {
		name, rest, _ := strings.Cut(part, "\n")
		job, want, ok := strings.Cut("\n"+rest, "\n=>\n")
		if _, twice := cases[name]; twice || !ok {
			t.Fatalf("testdata/bad.txt: %q stands twice or has no =>", name)
		}
		job = strings.NewReplacer(`\xff`, "\xff", `\x01`, "\x01").Replace(strings.TrimPrefix(job, "\n"))
		cases[name] = [2]string{job, strings.TrimSpace(want)}
	}
	return cases
}

func TestBadJobFiles(t *testing.T) {
	for name, c := range badJobs(t) {
		t.Run(name, func(t *testing.T) {
			job, err := ReadJob("bad.json", []byte(c[0]))
			var je *JobError
			if !errors.As(err, &je) {
				t.Fatalf("got job %v and error %v, want a *JobError", job, err)
			}
			if err.Error() != c[1] {
				t.Errorf("job file:\n%s\n got: %s\nwant: %s", c[0], err, c[1])
			}
		})
	}
}

func TestAtMostTenProblems(t *testing.T) {
	text := `{"tickets": [` + strings.Repeat(`{"task": "sleep", "attempts": 0}, `, 12) + `{"task": "sleep"}]}`
	_, err := ReadJob("many.json", []byte(text))
	var je *JobError
	if !errors.As(err, &je) || len(je.Problems) != 10 || je.More != 2 || !strings.HasSuffix(err.Error(), "\nand 2 more") {
		t.Errorf("got %v, want 10 problems and 2 more", err)
	}
}

func TestNestedTooDeep(t *testing.T) {
	text := `{"tickets": [{"task": "x", "args": {"a": ` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}}]}`
	_, err := ReadJob("deep.json", []byte(text))
	if want := "deep.json:1:138: nested deeper than 100 levels"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestJobFileThatCannotBeRead(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("tickets.json", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir("jobs", 0o700); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"tikets.json":   `tikets.json: no such file; did you mean "tickets.json"?`,
		"jobs/x.json":   `jobs/x.json: no such file`,
		"jobs":          `jobs: is a directory; expected a job file`,
		"tickets.json/": `tickets.json/: not a directory`,
		"/dev/zero":     `/dev/zero: larger than 64 MiB; expected a job file`,
		"tickets.json":  `tickets.json:1:1: empty file; expected a job such as {"tickets": [{"task": "sleep", "args": {"for": "1s"}}]}`,
	} {
		if _, err := OpenJob(path, nil); err == nil || err.Error() != want {
			t.Errorf("%s:\n got %v\nwant %s", path, err, want)
		}
	}
}

func mustRead(t *testing.T, text string) *Job {
	t.Helper()
	job, err := ReadJob("job.json", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return job
}

func ids(job *Job) []string {
	var out []string
	for ticket := range job.Tickets() {
		out = append(out, ticket.ID)
	}
	return out
}

// The example means what the issue says.
func TestExampleJob(t *testing.T) {
	job, err := OpenJob("../../scripts/jobs/demo.json", nil)
	if err != nil {
		t.Fatal(err)
	}
	if job.Name != "demo" || job.Len() != 26 || !reflect.DeepEqual(job.Shared, []Shared{{Name: "mutex", Kind: "lock"}}) {
		t.Errorf("got name %q, %d tickets, shared %v", job.Name, job.Len(), job.Shared)
	}
	tickets := slices.Collect(job.Tickets())
	want := []Ticket{
		0: {ID: "hello", Task: "exec", Attempts: 2, Timeout: 30 * time.Second,
			Args: map[string]any{"command": []any{"sh", "-c", "echo hello from $$"}}},
		1:  {ID: "nap-1", Task: "sleep", Args: map[string]any{"for": "200ms"}, Attempts: 1},
		5:  {ID: "nap-5", Task: "sleep", Args: map[string]any{"for": "200ms"}, Attempts: 1},
		6:  {ID: "tickets.buy-1", Task: "tickets.buy", Args: buyArgs, Attempts: 5},
		25: {ID: "tickets.buy-20", Task: "tickets.buy", Args: buyArgs, Attempts: 5},
	}
	for i, w := range want {
		if w.ID != "" && !reflect.DeepEqual(tickets[i], w) {
			t.Errorf("ticket %d: got %+v, want %+v", i, tickets[i], w)
		}
	}
}

var buyArgs = map[string]any{"stock": int64(10), "db": Scratch{"db.json"}, "lock": Ref{"mutex"}}

func TestShippedJobsAreGood(t *testing.T) {
	files, err := filepath.Glob("../../scripts/jobs/*.json")
	if err != nil || len(files) < 2 {
		t.Fatalf("found %v, %v", files, err)
	}
	for _, file := range files {
		if _, err := OpenJob(file, nil); err != nil {
			t.Error(err)
		}
	}
}

func TestStandardInput(t *testing.T) {
	job, err := OpenJob("-", strings.NewReader(`{"tickets": []}`))
	if err != nil || job.Name != "job" || job.Len() != 0 {
		t.Errorf("got %+v, %v", job, err)
	}
	_, err = OpenJob("-", strings.NewReader("{"))
	if want := `<stdin>:1:2: the file ends too early; expected a key in double quotes or "}"`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestNameFromFile(t *testing.T) {
	job, err := ReadJob("dir/nightly.v2.json", []byte("\uFEFF{\"tickets\": []}"))
	if err != nil || job.Name != "nightly.v2" {
		t.Errorf("got %+v, %v", job, err)
	}
}

// Tickets without id are numbered among those of their task, whatever stands between them.
func TestIDs(t *testing.T) {
	job := mustRead(t, `{"tickets": [
		{"task": "sleep"}, {"task": "exec"}, {"task": "sleep", "repeat": 2}, {"task": "sleep"},
		{"task": "x", "id": "nap", "repeat": 1}, {"task": "x", "id": "nap"}, {"task": "x", "id": "nap-02"}, {"task": "x", "id": "nap-0"},
		{"task": "x", "id": "nap-2", "repeat": 2}, {"task": "x", "id": "nap-2"}, {"task": "x", "id": "sleep-5"}
	]}`)
	want := []string{"sleep-1", "exec-1", "sleep-2", "sleep-3", "sleep-4",
		"nap-1", "nap", "nap-02", "nap-0", "nap-2-1", "nap-2-2", "nap-2", "sleep-5"}
	if got := ids(job); !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestRepeatOfMillionsIsNotWrittenOut(t *testing.T) {
	job := mustRead(t, `{"tickets": [{"task": "sleep", "id": "a", "repeat": 2147483647}, {"task": "sleep", "repeat": 2147483647}]}`)
	if got := job.Len(); got != 2*2147483647 {
		t.Errorf("got %d tickets", got)
	}
	for ticket := range job.Tickets() {
		if ticket.ID != "a-1" {
			t.Errorf("got %s", ticket.ID)
		}
		break
	}
}

func TestNumbersStayWhatTheyAre(t *testing.T) {
	job := mustRead(t, `{"tickets": [{"task": "x", "args": {"n": [9007199254740993, -9223372036854775808, 18446744073709551615, 1.0, 1e3, -0]}}]}`)
	got := job.Entries[0].Args.(map[string]any)["n"]
	want := []any{int64(9007199254740993), int64(-9223372036854775808), uint64(18446744073709551615), 1.0, 1000.0, int64(0)}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %#v\nwant %#v", got, want)
	}
}

func TestArgsKeepAllElse(t *testing.T) {
	job := mustRead(t, `{"shared": {"m": {"kind": "lock"}}, "tickets": [
		{"task": "x", "args": {"": null, "t": true, "f": false, "s": "\ud83d\ude00 é", "o": {}, "l": [], "$a": 1, "b": {"$shared": "m", "c": 2}, "p": {"$scratch": "a/../b"}}},
		{"task": "x", "args": {"$shared": "m"}}
	]}`)
	want := map[string]any{"": nil, "t": true, "f": false, "s": "😀 é", "o": map[string]any{}, "l": []any{}, "$a": int64(1),
		"b": map[string]any{"$shared": "m", "c": int64(2)}, "p": Scratch{"b"}}
	if got := job.Entries[0].Args; !reflect.DeepEqual(got, want) {
		t.Errorf("got  %#v\nwant %#v", got, want)
	}
	if got := job.Entries[1].Args; got != (Ref{"m"}) {
		t.Errorf("got %#v, want a Ref", got)
	}
}

func TestCheckTasks(t *testing.T) {
	job := mustRead(t, "{\"tickets\": [\n{\"task\": \"sleep\"},\n{\"id\": \"a\", \"task\": \"slep\"}, {\"task\": \"qwertz\"}]}")
	err := job.CheckTasks([]string{"exec", "sleep"})
	want := "job.json:3:21: unknown task \"slep\"; expected \"exec\" or \"sleep\"; did you mean \"sleep\"?\n" +
		`job.json:3:39: unknown task "qwertz"; expected "exec" or "sleep"`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %v", err, want)
	}
	if err := job.CheckTasks([]string{"qwertz", "sleep", "slep"}); err != nil {
		t.Error(err)
	}
}

// FuzzReadJob: whatever the text, there is a job or a *JobError whose places lie inside the text. No recover.
func FuzzReadJob(f *testing.F) {
	text, err := os.ReadFile("testdata/bad.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, part := range bytes.Split(text, []byte("\n== ")) {
		_, job, _ := bytes.Cut(part, []byte("\n"))
		job, _, _ = bytes.Cut(job, []byte("\n=>\n"))
		f.Add(job)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		job, err := ReadJob("f", text)
		if (job == nil) == (err == nil) {
			t.Fatalf("got job %v and error %v", job, err)
		}
		if err == nil {
			checkJob(t, job)
			return
		}
		for _, p := range err.(*JobError).Problems {
			checkPlace(t, p, text)
		}
	})
}

// checkJob: ids are there and differ, as far as it is cheap to look.
func checkJob(t *testing.T, job *Job) {
	seen := map[string]bool{}
	for ticket := range job.Tickets() {
		if ticket.ID == "" || ticket.Task == "" || ticket.Attempts < 1 || seen[ticket.ID] {
			t.Fatalf("bad ticket %+v", ticket)
		}
		if seen[ticket.ID] = true; len(seen) == 1000 {
			break
		}
	}
}

// checkPlace: the message begins f:line:column, and that place is in the text or just behind it.
func checkPlace(t *testing.T, message string, text []byte) {
	var line, column int
	if n, _ := fmt.Sscanf(message, "f:%d:%d:", &line, &column); n != 2 {
		t.Fatalf("no place in %q", message)
	}
	lines := strings.Split(string(text), "\n")
	if line < 1 || line > len(lines) || column < 1 || column > 1+len([]rune(lines[line-1])) {
		t.Fatalf("%q: not inside the text", message)
	}
}
