package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var buyLine = regexp.MustCompile(`^tickets\.buy-(\d+): pid (\d+) (?:bought ticket (\d+), (\d+) left|found none, 0 left)$`)

// checkSales checks what the buyers printed: each is there once, and each ticket is sold once. A buyer prints after the lock has
// gone on, so the lines of two may change places.
func checkSales(t *testing.T, p *program, buyers, stock int) {
	t.Helper()
	seen, pids, sold := map[string]bool{}, map[string]bool{}, map[int]bool{}
	lines := strings.Split(p.stdout.String(), "\n")
	for _, line := range lines {
		m := buyLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		if seen[m[1]] {
			t.Errorf("buyer %s twice", m[1])
		}
		seen[m[1]], pids[m[2]] = true, true
		if m[3] == "" {
			continue
		}
		number, _ := strconv.Atoi(m[3])
		left, _ := strconv.Atoi(m[4])
		if sold[number] || number < 1 || left != stock-number {
			t.Errorf("%q, of %d", line, stock)
		}
		sold[number] = true
	}
	if len(seen) != buyers || len(sold) != min(buyers, stock) {
		t.Errorf("%d buyers, %d sold; want %d, %d\n%s", len(seen), len(sold), buyers, min(buyers, stock), p.output())
	}
	report := strings.Join(lines[min(buyers, len(lines)):], "\n")
	if want := fmt.Sprintf("\ntickets: %d tickets in ", buyers); !strings.HasPrefix(report, want) {
		t.Errorf("after the lines of the buyers there is %q, want %q", report, want)
	}
	for _, want := range []string{", all ok\n", fmt.Sprintf("\n  %d ok\n", buyers), fmt.Sprintf("\n  %d attempts, 0 restarts\n", buyers)} {
		if !strings.Contains(report, want) {
			t.Errorf("the report is %q, want %q in it", report, want)
		}
	}
	if text := p.stderr.String(); text != "" {
		t.Errorf("standard error: %q", text)
	}
	if len(pids) < 2 {
		t.Errorf("bought from %d processes only", len(pids))
	}
}

func shippedJob(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs("../../scripts/jobs/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// The main job, from another directory and with a very long TMPDIR, twice at once.
func TestTicketJob(t *testing.T) {
	long := filepath.Join(t.TempDir(), strings.Repeat("long/", 40))
	if err := os.MkdirAll(long, 0o700); err != nil {
		t.Fatal(err)
	}
	job := shippedJob(t, "tickets.json")
	first := start(t, setup{env: []string{"TMPDIR=" + long}}, "-workers", "4", "-job", job)
	second := start(t, setup{env: []string{"TMPDIR=" + long}}, "-workers", "4", "-job", job)
	for _, p := range []*program{first, second} {
		p.exits(exitOK)
		checkSales(t, p, 20, 10)
	}
	if left := dirNames(t, long); len(left) > 0 {
		t.Errorf("left in TMPDIR: %v", left)
	}
}

func TestDemoJob(t *testing.T) {
	p := start(t, setup{program: builtProgram(t, "master")}, "-workers", "3", "-job", shippedJob(t, "demo.json"))
	p.exits(exitOK)
	if text := p.stdout.String(); strings.Count(text, "hello from ") != 1 || strings.Count(text, "bought") != 10 {
		t.Errorf("printed:\n%s", text)
	}
}

// More to sell than buyers, the job from standard input, other worker programs.
func TestTicketJobVariants(t *testing.T) {
	for _, stock := range []int{0, 3, 20} {
		job := fmt.Sprintf(`{"name": "tickets", "shared": {"m": {"kind": "lock"}}, "tickets": [{"task": "tickets.buy", "repeat": 12,
			"args": {"stock": %d, "db": {"$scratch": "deep/er/db.json"}, "lock": {"$shared": "m"}, "max_delay": "5ms"}}]}`, stock)
		p := start(t, setup{program: builtProgram(t, "master"), stdin: job}, "-workers", "3", "-job", "-", "-worker", builtProgram(t, "worker"))
		p.exits(exitOK)
		checkSales(t, p, 12, stock)
	}
}

// Lines of several processes at once are whole.
func TestLinesAreWhole(t *testing.T) {
	const lines, length = 50, 9000
	var tickets []ticket
	for _, c := range "abcd" {
		tickets = append(tickets, shell(string(c), fmt.Sprintf(
			`l=$(head -c %d /dev/zero | tr '\0' %c); for i in $(seq %d); do echo $l; done; printf unfinished`, length, c, lines)))
	}
	p := start(t, setup{}, "-workers", "4", "-job", jobFile(t, "long", tickets...))
	p.exits(exitOK)
	got := map[string]int{}
	for line := range strings.Lines(p.stdout.String()) {
		got[strings.TrimSuffix(line, "\n")]++
	}
	for _, c := range "abcd" {
		if n := got[strings.Repeat(string(c), length)]; n != lines {
			t.Errorf("%d lines of %c are whole, want %d", n, c, lines)
		}
	}
	if got["unfinished"] != 4 {
		t.Errorf("%d unfinished last lines, want 4", got["unfinished"])
	}
}

// checkBook checks the file that counts tickets, which may be of a job that was killed.
func checkBook(t *testing.T, path string, stock int) (sold int) {
	t.Helper()
	text, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	var book struct {
		Left int
		Sold []struct {
			Number int
			Ticket string
		}
	}
	if err := json.Unmarshal(text, &book); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	if book.Left < 0 || book.Left+len(book.Sold) != stock {
		t.Errorf("%d left, %d sold of %d", book.Left, len(book.Sold), stock)
	}
	var buyers []string
	for i, s := range book.Sold {
		if s.Number != i+1 || slices.Contains(buyers, s.Ticket) {
			t.Errorf("sale %d is number %d to %s", i+1, s.Number, s.Ticket)
		}
		buyers = append(buyers, s.Ticket)
	}
	return len(book.Sold)
}
