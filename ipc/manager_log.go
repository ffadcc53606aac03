package ipc

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
)

// A complainer logs why connections ended: not more of them in a second than somebody may want to
// read, and one at a time, so that a log that stands still holds up nobody else.
type complainer struct {
	log    hclog.Logger
	hushed atomic.Int64 // left out since the last one

	mu    sync.Mutex // held while it logs
	since time.Time
	said  int // since then
}

const (
	complainEach = time.Second
	complaints   = 10
)

func (c *complainer) say(peer string, reason error) {
	if !c.mu.TryLock() {
		c.hushed.Add(1)
		return
	}
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.since) >= complainEach {
		c.since, c.said = now, 0
	}
	if c.said++; c.said > complaints {
		c.hushed.Add(1)
		return
	}
	about := []any{"peer", peer, "reason", reason}
	if n := c.hushed.Swap(0); n > 0 {
		about = append(about, "others", n)
	}
	c.log.Warn("connection ended", about...)
}
