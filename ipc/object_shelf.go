package ipc

// A fifo gives back first what came first.
type fifo struct {
	vs   []value
	head int // of those before, nothing is left
}

func newFIFO() shelf { return &fifo{} }

func (f *fifo) put(v value) error {
	if f.head > 32 && f.head > len(f.vs)/2 {
		n := copy(f.vs, f.vs[f.head:])
		clear(f.vs[n:])
		f.vs, f.head = f.vs[:n], 0
	}
	f.vs = append(f.vs, v)
	return nil
}

func (f *fifo) peek() value { return f.vs[f.head] }

func (f *fifo) get() value {
	v := f.vs[f.head]
	f.vs[f.head] = value{}
	f.head++
	if f.head == len(f.vs) {
		f.vs, f.head = f.vs[:0], 0
		if cap(f.vs) > maxIdleShelf {
			f.vs = nil
		}
	}
	return v
}

func (f *fifo) len() int { return len(f.vs) - f.head }

func (f *fifo) some(from, most int, yield func(v value)) { someOf(f.vs[f.head:], from, most, yield) }

// someOf is the some of items that lie in a row.
func someOf(vs []value, from, most int, yield func(v value)) {
	vs = vs[min(from, len(vs)):]
	for _, v := range vs[:min(most, len(vs))] {
		yield(v)
	}
}

// maxIdleShelf is how many places an empty shelf keeps.
const maxIdleShelf = 1024

// A lifo gives back first what came last.
type lifo struct{ vs []value }

func newLIFO() shelf { return &lifo{} }

func (l *lifo) put(v value) error {
	l.vs = append(l.vs, v)
	return nil
}

func (l *lifo) peek() value { return l.vs[len(l.vs)-1] }

func (l *lifo) get() value {
	v := l.peek()
	l.vs[len(l.vs)-1] = value{}
	l.vs = l.vs[:len(l.vs)-1]
	if len(l.vs) == 0 && cap(l.vs) > maxIdleShelf {
		l.vs = nil
	}
	return v
}

func (l *lifo) len() int { return len(l.vs) }

func (l *lifo) some(from, most int, yield func(v value)) { someOf(l.vs, from, most, yield) }
