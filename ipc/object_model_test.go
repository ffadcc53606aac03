package ipc

import (
	"fmt"
	"slices"
)

// A model of the objects that synchronise, one operation after another, without connections:
// what object_random_test.go compares the manager with. Answers are text.
type syncModel struct {
	answers map[modelKey]string
	pending []*modelCall // in the order in which they came
	locks   []*modelLock
	sems    []*modelSemaphore
	bars    []*modelBarrier
}

type modelKey struct {
	conn int
	id   uint64
}

type modelWho struct {
	conn  int // 0: nobody
	owner uint64
}

// A modelCall is a call under way. Its quit says what it means that its time is over, or that it
// is cancelled; nil: nothing any more.
type modelCall struct {
	key    modelKey
	who    modelWho
	poll   bool
	levels int
	how    string // how a wait at a condition ended
	line   *[]*modelCall
	quit   func(why string)
	left   func() // its connection has ended
}

func (m *syncModel) answer(c *modelCall, vs ...any) {
	text := fmt.Sprint(vs...)
	if len(vs) > 1 {
		text = fmt.Sprintf("%v", vs)
	}
	m.answers[c.key] = text
}

func (m *syncModel) park(c *modelCall, line *[]*modelCall, quit func(why string)) {
	*line = append(*line, c)
	c.line, c.quit = line, quit
	m.pending = append(m.pending, c)
	if c.poll && quit != nil {
		quit("timeout")
	}
}

func (m *syncModel) unpark(c *modelCall) {
	is := func(x *modelCall) bool { return x == c }
	*c.line = slices.DeleteFunc(*c.line, is)
	m.pending = slices.DeleteFunc(m.pending, is)
	c.line = nil
}

// plain is the end of a wait that means nothing else.
func (m *syncModel) plain(c *modelCall) func(why string) {
	return func(why string) {
		m.unpark(c)
		m.answer(c, why)
	}
}

// leave ends a connection.
func (m *syncModel) leave(conn int) {
	for _, c := range slices.Clone(m.pending) {
		if c.who.conn == conn && c.line != nil {
			m.unpark(c)
			if c.left != nil {
				c.left()
			}
		}
	}
	for _, l := range m.locks {
		if l.holder.conn == conn {
			l.leave()
		}
	}
	for _, x := range m.sems {
		x.free += x.held[conn]
		delete(x.held, conn)
		x.grant()
	}
	for _, b := range m.bars {
		if b.running && b.runner.conn == conn {
			b.end(true)
		}
		b.relieved = slices.DeleteFunc(b.relieved, func(w modelWho) bool { return w.conn == conn })
	}
}

type modelLock struct {
	m                  *syncModel
	reentrant, handoff bool
	holder             modelWho
	level, token       int
	died, told         bool
	line               []*modelCall
}

func (l *modelLock) take(c *modelCall, levels int) {
	l.holder, l.level, l.told, l.died = c.who, levels, l.died, false
	l.token++
}

func (l *modelLock) tell(c *modelCall) {
	switch {
	case c.how == "cancelled":
		l.m.answer(c, "cancelled", l.token, l.told)
	case c.how != "":
		l.m.answer(c, c.how == "notified", l.token, l.told)
	case l.reentrant:
		l.m.answer(c, l.token, l.told, l.level)
	default:
		l.m.answer(c, l.token, l.told)
	}
}

func (l *modelLock) free() {
	l.level, l.holder = 0, modelWho{}
	l.grant()
}

func (l *modelLock) grant() {
	if l.level > 0 || len(l.line) == 0 {
		return
	}
	c := l.line[0]
	l.m.unpark(c)
	l.take(c, c.levels)
	l.tell(c)
}

func (l *modelLock) leave() {
	if l.handoff {
		l.holder = modelWho{}
		return
	}
	l.died = true
	l.free()
}

// lacks answers c if it does not hold the lock.
func (l *modelLock) lacks(c *modelCall) bool {
	if l.level == 0 {
		l.m.answer(c, "not_locked")
	} else if l.holder != c.who && !l.handoff {
		l.m.answer(c, "not_owner")
	} else {
		return false
	}
	return true
}

func (l *modelLock) do(c *modelCall, op string, n int) {
	mine := 0
	if l.holder == c.who {
		mine = l.level
	}
	switch op {
	case "acquire":
		switch {
		case l.level == 0:
			l.take(c, 1)
			l.tell(c)
		case mine > 0 && l.reentrant:
			l.level++
			l.tell(c)
		default:
			c.levels = 1
			l.m.park(c, &l.line, l.m.plain(c))
		}
	case "release":
		if l.lacks(c) {
			return
		}
		l.level--
		if l.reentrant {
			l.m.answer(c, l.level)
		} else {
			l.m.answer(c, nil)
		}
		if l.level == 0 {
			l.free()
		}
	case "locked":
		l.m.answer(c, l.level > 0)
	case "owned":
		l.m.answer(c, mine > 0)
	case "count":
		l.m.answer(c, mine)
	}
}

type modelCondition struct {
	lock *modelLock
	line []*modelCall
}

func (d *modelCondition) do(c *modelCall, op string, n int) {
	m := d.lock.m
	switch op {
	case "wait":
		if d.lock.lacks(c) {
			return
		}
		c.levels = d.lock.level
		poll := c.poll
		c.poll = false
		m.park(c, &d.line, func(why string) { d.retake(c, why) })
		d.lock.free()
		if poll {
			c.quit("timeout")
		}
	case "notify", "notify_all":
		if d.lock.lacks(c) {
			return
		}
		if op == "notify_all" {
			n = len(d.line)
		}
		n = min(n, len(d.line))
		for range n {
			d.retake(d.line[0], "notified")
		}
		m.answer(c, n)
	case "waiting":
		m.answer(c, len(d.line))
	default:
		d.lock.do(c, op, n)
	}
}

func (d *modelCondition) retake(c *modelCall, how string) {
	m := d.lock.m
	m.unpark(c)
	c.how = how
	m.park(c, &d.lock.line, nil)
	d.lock.grant()
}

type modelSemaphore struct {
	m     *syncModel
	free  int
	bound int // 0: none
	held  map[int]int
	line  []*modelCall
}

func (x *modelSemaphore) grant() {
	for x.free > 0 && len(x.line) > 0 {
		c := x.line[0]
		x.m.unpark(c)
		x.free--
		x.held[c.who.conn]++
		x.m.answer(c, nil)
	}
}

func (x *modelSemaphore) do(c *modelCall, op string, n int) {
	switch op {
	case "acquire":
		x.m.park(c, &x.line, nil)
		x.grant()
		if c.line == nil {
			return
		}
		c.quit = x.m.plain(c)
		if c.poll {
			c.quit("timeout")
		}
	case "release":
		all := x.free
		for _, n := range x.held {
			all += n
		}
		back := min(n, x.held[c.who.conn])
		if n < 1 || x.bound > 0 && all+n-back > x.bound {
			x.m.answer(c, "value_error")
			return
		}
		x.held[c.who.conn] -= back
		x.free += n
		x.m.answer(c, nil)
		x.grant()
	case "value":
		x.m.answer(c, x.free)
	}
}

type modelEvent struct {
	m    *syncModel
	flag bool
	line []*modelCall
}

func (e *modelEvent) do(c *modelCall, op string, n int) {
	switch op {
	case "set":
		e.flag = true
		for len(e.line) > 0 {
			w := e.line[0]
			e.m.unpark(w)
			e.m.answer(w, true)
		}
		e.m.answer(c, nil)
	case "clear":
		e.flag = false
		e.m.answer(c, nil)
	case "is_set":
		e.m.answer(c, e.flag)
	case "wait":
		if e.flag {
			e.m.answer(c, true)
			return
		}
		e.m.park(c, &e.line, func(why string) {
			e.m.unpark(c)
			if why == "timeout" {
				e.m.answer(c, false)
			} else {
				e.m.answer(c, why)
			}
		})
	}
}

type modelBarrier struct {
	m        *syncModel
	parties  int
	action   bool
	broken   bool
	running  bool
	runner   modelWho
	inside   []*modelCall
	line     []*modelCall
	relieved []modelWho
}

// end throws out all who wait; with broken true the barrier is broken.
func (b *modelBarrier) end(broken bool) {
	b.broken = broken
	if b.running {
		b.relieved = append(b.relieved, b.runner)
		b.running = false
	}
	for _, c := range append(slices.Clone(b.inside), b.line...) {
		b.m.unpark(c)
		b.m.answer(c, "broken_barrier")
	}
}

// relieve forgets w, and tells whether it was there.
func (b *modelBarrier) relieve(w modelWho) bool {
	n := len(b.relieved)
	b.relieved = slices.DeleteFunc(b.relieved, func(x modelWho) bool { return x == w })
	return len(b.relieved) < n
}

// rounds begins what can begin.
func (b *modelBarrier) rounds() {
	for !b.running && len(b.line) >= b.parties {
		for i := range b.parties {
			c := b.line[0]
			b.m.unpark(c)
			if b.action && i < b.parties-1 {
				b.m.park(c, &b.inside, c.quit)
				continue
			}
			b.m.answer(c, i, b.action)
			if b.action {
				b.running, b.runner = true, c.who
				b.relieve(c.who)
			}
		}
	}
}

func (b *modelBarrier) do(c *modelCall, op string, n int) {
	mine := b.running && b.runner == c.who
	if mine && op != "done" && op != "failed" && op != "abort" && op != "reset" {
		b.end(true)
	}
	switch op {
	case "wait":
		if b.broken {
			b.m.answer(c, "broken_barrier")
			return
		}
		poll := c.poll
		c.poll = false
		c.left = func() { b.end(true) }
		b.m.park(c, &b.line, func(why string) {
			b.m.unpark(c)
			if why == "timeout" {
				why = "broken_barrier"
			}
			b.m.answer(c, why)
			b.end(true)
		})
		b.rounds()
		if poll && c.line != nil {
			c.quit("timeout")
		}
	case "done", "failed":
		if !mine {
			if b.relieve(c.who) {
				b.m.answer(c, "broken_barrier")
			} else {
				b.m.answer(c, "not_owner")
			}
			return
		}
		b.running = false
		b.m.answer(c, nil)
		if op == "failed" {
			b.end(true)
			return
		}
		for i, w := range slices.Clone(b.inside) {
			b.m.unpark(w)
			b.m.answer(w, i, false)
		}
		b.rounds()
	case "abort", "reset":
		b.end(op == "abort")
		b.m.answer(c, nil)
	case "parties":
		b.m.answer(c, b.parties)
	case "waiting":
		b.m.answer(c, len(b.inside)+len(b.line))
	case "broken":
		b.m.answer(c, b.broken)
	}
}
