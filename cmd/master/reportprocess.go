package main

import (
	"bytes"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// processTable shows how each process of the job ended.
func processTable(b *bytes.Buffer, s *Summary) {
	if len(s.Processes) == 0 {
		return
	}
	width := len("process")
	for _, p := range s.Processes {
		width = max(width, utf8.RuneCountInString(p.Name))
	}
	if s.Tickets > 0 {
		b.WriteByte('\n')
	}
	fmt.Fprintf(b, "  %-*s  restarts      pid  ended\n", width, "process")
	for _, p := range s.Processes {
		fmt.Fprintf(b, "  %-*s  %8d  %7s  %s\n", width, p.Name, p.Restarts, pidText(p.PID), p.ending())
	}
}

func pidText(pid int) string {
	if pid == 0 {
		return "-"
	}
	return strconv.Itoa(pid)
}

// ending says how it ended, and why where that is known.
func (p ProcessSummary) ending() string {
	switch text := harmless(p.Ended); {
	case p.GaveUp:
		return text + ", given up"
	case p.Told && text == "":
		return "told to end"
	case p.Told:
		return text + ", told to end"
	default:
		return text
	}
}

// failedProcesses shows the last words of the first few that failed.
func failedProcesses(b *bytes.Buffer, s *Summary) {
	shown := 0
	for _, p := range s.Processes {
		if !p.Failed || shown == maxFailedShown {
			continue
		}
		shown++
		fmt.Fprintf(b, "\nprocess %s: %s", p.Name, p.ending())
		if p.Restarts > 0 {
			fmt.Fprintf(b, " after %s, the last", count(p.Restarts, "restart"))
		}
		fmt.Fprintf(b, " (pid %s)\n", pidText(p.PID))
		lastWords(b, &Failure{Stderr: p.Stderr})
	}
	if more := s.FailedProcesses() - shown; more > 0 {
		fmt.Fprintf(b, "\nand %d more processes that failed\n", more)
	}
}
