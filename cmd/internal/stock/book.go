package stock

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// A book is the file that counts tickets.
type book struct {
	Left int    `json:"left"`
	Sold []sale `json:"sold"`

	fresh bool // there is no file yet
}

// A sale is one ticket and who has it.
type sale struct {
	Number int    `json:"number"` // from 1
	Ticket string `json:"ticket"` // the buyer's id
	PID    int    `json:"pid"`    // the buyer's process
}

// readBook needs no lock: the file is only ever replaced whole. Where there is none, nothing has been sold.
func readBook(path string, stock int) (book, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return book{Left: stock, fresh: true}, nil
	}
	if err != nil {
		return book{}, fmt.Errorf("tickets.buy: %w", err)
	}
	var b book
	if err := json.Unmarshal(text, &b); err != nil {
		return b, fmt.Errorf("tickets.buy: %s is no book of tickets: %w", path, err)
	}
	if b.Left < 0 {
		return b, fmt.Errorf("tickets.buy: %s is no book of tickets: %d left", path, b.Left)
	}
	return b, nil
}

func (b *book) find(ticket string) (sale, bool) {
	for _, s := range b.Sold {
		if s.Ticket == ticket {
			return s, true
		}
	}
	return sale{}, false
}

// sell takes a ticket off, if there is one; else the sale has no number.
func (b *book) sell(ticket string, pid int) sale {
	if b.Left == 0 {
		return sale{}
	}
	b.Left--
	s := sale{Number: len(b.Sold) + 1, Ticket: ticket, PID: pid}
	b.Sold = append(b.Sold, s)
	return s
}

// leftover is where the next book is written. There is one such name only, so that killed buyers leave at most one file, which
// the next one writes over; the lock keeps it from being shared.
func leftover(path string) string { return path + ".next" }

// writeBook replaces the file by a rename: who reads sees the old book or the new. It is called with the lock held.
//
// It is not synced. A loss of power ends the job and takes the buyers with it; a death of processes does not reach what
// the kernel holds.
func writeBook(path string, b book) error {
	text, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return fmt.Errorf("tickets.buy: %w", err)
	}
	if err := os.WriteFile(leftover(path), append(text, '\n'), 0o666); err != nil {
		return fmt.Errorf("tickets.buy: %w", err)
	}
	if err := os.Rename(leftover(path), path); err != nil {
		return fmt.Errorf("tickets.buy: %w", err)
	}
	return nil
}

// removeLeftover tidies up after a buyer who died between writing and renaming, where no later sale will.
func removeLeftover(path string) error {
	if err := os.Remove(leftover(path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("tickets.buy: %w", err)
	}
	return nil
}
