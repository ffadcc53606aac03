package main

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// report writes what a person wants to know at the end: plain text, no colours, with one write, so that nothing comes
// in between.
func report(w io.Writer, s *Summary) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "\n%s: %s\n\n", s.Job, headline(s))
	if s.Tickets > 0 || len(s.Processes) == 0 {
		outcomeTable(&b, s)
		workerTable(&b, s)
	}
	processTable(&b, s)
	failedTickets(&b, s)
	failedProcesses(&b, s)
	if s.Results != "" {
		fmt.Fprintf(&b, "\nresults: %s\n", s.Results)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// headline is the whole report for who reads one line: `20 tickets in 1.53 s, all ok`.
func headline(s *Summary) string {
	if s.Tickets == 0 && len(s.Processes) > 0 {
		return interruptedText(s) + countProcesses(len(s.Processes)) + " in " + wall(s.Elapsed) + processesText(s)
	}
	text := fmt.Sprintf("%s in %s", count(s.Tickets, "ticket"), wall(s.Elapsed))
	ok, cancelled := s.Outcomes[outcomeOK], s.Outcomes[outcomeCancelled]
	switch {
	case s.Tickets == 0:
		text += ", nothing to do"
	case ok == s.Tickets:
		text += ", all ok"
	default:
		text += fmt.Sprintf(", %d ok", ok)
		for _, other := range []struct {
			n    int
			what string
		}{
			{s.Finished() - ok - cancelled, "failed"},
			{cancelled, "cancelled"},
			{s.Tickets - s.Finished(), "without a result"},
		} {
			if other.n > 0 {
				text += fmt.Sprintf(", %d %s", other.n, other.what)
			}
		}
	}
	if len(s.Processes) > 0 {
		text += "; " + countProcesses(len(s.Processes)) + processesText(s)
	}
	return interruptedText(s) + text
}

func interruptedText(s *Summary) string {
	if s.Interrupted {
		return "interrupted; "
	}
	return ""
}

func processesText(s *Summary) string {
	if n := s.FailedProcesses(); n > 0 {
		return fmt.Sprintf(", %d failed", n)
	}
	return ", all ok"
}

// outcomeTable counts tickets per outcome; outcomes that did not occur are left out.
func outcomeTable(b *bytes.Buffer, s *Summary) {
	width := 0
	for _, n := range s.Outcomes {
		width = max(width, len(strconv.Itoa(n)))
	}
	for _, outcome := range outcomes {
		if n := s.Outcomes[outcome]; n > 0 {
			fmt.Fprintf(b, "  %*d %s", width, n, outcome)
			if outcome == outcomeCancelled && s.NotBegun > 0 {
				fmt.Fprintf(b, ", %d of them before they began", s.NotBegun)
			}
			b.WriteByte('\n')
		}
	}
	if width > 0 {
		b.WriteByte('\n')
	}
	fmt.Fprintf(b, "  %s, %s\n", count(s.Attempts, "attempt"), count(s.Restarts(), "restart"))
}

// workerTable shows which process did what. A place whose process was replaced has several, in order.
func workerTable(b *bytes.Buffer, s *Summary) {
	if len(s.Workers) == 0 {
		return
	}
	fmt.Fprintf(b, "\n  worker  tickets          busy  pid\n")
	for _, w := range s.Workers {
		fmt.Fprintf(b, "  %6d  %7d  %12s  %s\n", w.Place, w.Tickets, wall(w.Busy), pids(w.PIDs, w.Started))
	}
}

// pids lists the processes of a place, the last few when there were many.
func pids(list []int, started int) string {
	const most = 6
	if started <= len(list) && len(list) <= most {
		return strings.Join(texts(list), ", then ")
	}
	last := texts(list[max(0, len(list)-most+1):])
	return fmt.Sprintf("(%d more), then %s", started-len(last), strings.Join(last, ", then "))
}

func texts(list []int) []string {
	text := make([]string, len(list))
	for i, n := range list {
		text[i] = strconv.Itoa(n)
	}
	return text
}

func failedTickets(b *bytes.Buffer, s *Summary) {
	for _, r := range s.Failed {
		b.WriteByte('\n')
		failedTicket(b, r)
	}
	if s.Hidden > 0 {
		fmt.Fprintf(b, "\nand %d more like these", s.Hidden)
		if s.Results == "" {
			b.WriteString(" (-results FILE keeps them all)")
		}
		b.WriteByte('\n')
	}
}

// failedTicket shows one ticket and why it failed.
func failedTicket(b *bytes.Buffer, r Record) {
	fmt.Fprintf(b, "%s: %s", r.ID, r.Outcome)
	if r.Attempts > 0 {
		fmt.Fprintf(b, " after %s, the last on worker %d (pid %d) for %s", count(r.Attempts, "attempt"), r.Worker, r.PID, wall(r.Elapsed))
	}
	b.WriteByte('\n')
	f := r.Failure
	if f == nil {
		return
	}
	indent(b, "  ", f.Text, 5)
	if facts := deathFacts(f); facts != "" {
		fmt.Fprintf(b, "  %s\n", facts)
	}
	lastWords(b, f)
	indent(b, "    ", f.Stack, 8)
}

// lastWords shows the end of what the worker that died, or the command that failed, wrote to its standard error.
func lastWords(b *bytes.Buffer, f *Failure) {
	lines := f.Stderr
	if len(lines) == 0 {
		result, _ := f.Value.(map[string]any)
		text, _ := result["stderr"].(string)
		if text = strings.TrimRight(text, "\n"); text == "" {
			return
		}
		lines = strings.Split(text, "\n")
	}
	b.WriteString("  last lines of its standard error:\n")
	last := lines[max(0, len(lines)-5):]
	indent(b, "    ", strings.Join(last, "\n"), len(last))
}

// deathFacts says how the worker process ended, when it did.
func deathFacts(f *Failure) string {
	var facts []string
	if f.Exit != "" && !strings.Contains(f.Text, f.Exit) {
		facts = append(facts, f.Exit)
	}
	if f.PeakMemory > 0 && !strings.Contains(f.Text, "peak memory") {
		facts = append(facts, "peak memory "+memory(f.PeakMemory))
	}
	return strings.Join(facts, ", ")
}

// indent writes the first lines of a text. What comes from tasks must not act on the terminal.
func indent(b *bytes.Buffer, prefix, text string, most int) {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if text == "" {
		return
	}
	for _, line := range lines[:min(len(lines), most)] {
		fmt.Fprintf(b, "%s%s\n", prefix, harmless(line))
	}
	if more := len(lines) - most; more > 0 {
		fmt.Fprintf(b, "%s(%s)\n", prefix, count(more, "more line"))
	}
}

// harmless replaces control characters and cuts lines that no screen can hold.
func harmless(line string) string {
	const most = 400
	line = strings.Map(func(c rune) rune {
		switch {
		case c == '\t':
			return ' '
		case !unicode.IsPrint(c):
			return '?'
		}
		return c
	}, line)
	if r := []rune(line); len(r) > most {
		return string(r[:most]) + " ..."
	}
	return line
}

// wall writes a duration as a person would: 0.20 s, 12.3 s, 2 min 5 s, 3 h 7 min.
func wall(d time.Duration) string {
	switch s := d.Seconds(); {
	case s < 9.995:
		return fmt.Sprintf("%.2f s", s)
	case s < 59.95:
		return fmt.Sprintf("%.1f s", s)
	}
	if s := int(d.Round(time.Second).Seconds()); s < 3600 {
		return fmt.Sprintf("%d min %d s", s/60, s%60)
	}
	m := int(d.Round(time.Minute).Minutes())
	return fmt.Sprintf("%d h %d min", m/60, m%60)
}

// memory writes a size in the unit that keeps it short.
func memory(n uint64) string {
	switch {
	case n >= 10<<30:
		return fmt.Sprintf("%d GiB", n>>30)
	case n >= 1<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d KiB", n>>10)
}

// count writes a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}
