package supervisor

import (
	"bytes"
	"strings"
	"sync"
)

const (
	maxLine    = 64 << 10 // longer lines are delivered in pieces
	tailCount  = 20       // lines of stderr kept for post-mortems
	tailLength = 4 << 10  // bytes kept of each
)

// splitter cuts a stream into lines.
type splitter struct {
	emit LineFunc
	held []byte // the beginning of a line whose end has not come; at most maxLine bytes
}

func (s *splitter) write(b []byte) {
	for len(b) > 0 {
		line, rest, found := bytes.Cut(b, []byte{'\n'})
		s.hold(line)
		if found {
			s.emit(s.held, true)
			s.held = s.held[:0]
		}
		b = rest
	}
}

func (s *splitter) hold(b []byte) {
	for len(s.held)+len(b) > maxLine {
		n := maxLine - len(s.held)
		s.emit(append(s.held, b[:n]...), false)
		s.held, b = s.held[:0], b[n:]
	}
	s.held = append(s.held, b...)
}

// end delivers a last line that has no newline.
func (s *splitter) end() {
	if len(s.held) > 0 {
		s.emit(s.held, true)
	}
	s.held = nil
}

// tail keeps the last lines, and those that say why the program crashed. The zero value is empty and ready.
type tail struct {
	mu    sync.Mutex
	ring  [tailCount]string
	n     int  // lines ever seen
	open  bool // the next piece continues a line
	crash crash
}

func (t *tail) add(b []byte, final bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.open {
		line := string(b[:min(len(b), tailLength)])
		t.crash.add(t.n, line)
		t.ring[t.n%tailCount] = line
		t.n++
	}
	t.open = !final
}

// lines returns the lines, oldest first, as valid UTF-8 (a cut may have gone through a character).
func (t *tail) lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var list []string
	from := max(0, t.n-tailCount)
	for i := from; i < t.n; i++ {
		list = append(list, t.ring[i%tailCount])
	}
	list = t.crash.before(list, from)
	for i, line := range list {
		list[i] = strings.ToValidUTF8(line, "\uFFFD")
	}
	return list
}

// Capture keeps the first bytes of a stream and counts the rest. Give each stream its own, or one to both:
// then their bytes are mixed as they come. Any number of goroutines may use it at any time.
type Capture struct {
	Limit int // bytes kept; 0 is 1 MiB, negative is none. Set before Start.

	mu    sync.Mutex
	kept  []byte
	total int64
}

const defaultCapture = 1 << 20

func (c *Capture) write(b []byte) {
	if c == nil || len(b) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	limit := c.Limit
	if limit == 0 {
		limit = defaultCapture
	}
	c.kept = append(c.kept, b[:min(len(b), max(0, limit-len(c.kept)))]...)
	c.total += int64(len(b))
}

// Bytes returns a copy of what was kept: the beginning of the stream.
func (c *Capture) Bytes() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.kept)
}

// Total is the number of bytes that came, kept or not.
func (c *Capture) Total() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.total
}
