package ipc

// Discard lets go of an object that arrived in a value of which the rest is bad. Close would do more: it ends the use in the
// whole process, where others may hold the same object, and for a queue in all processes. So nothing is done: what
// nobody refers to is cleaned up by the garbage collector. See proto.HandleDecoder.

// Discard is for package proto; see Close.
func (l *Lock) Discard() {}

// Discard is for package proto; see Close.
func (l *RLock) Discard() {}

// Discard is for package proto; see Close.
func (s *Semaphore) Discard() {}

// Discard is for package proto; see Close.
func (e *Event) Discard() {}

// Discard is for package proto; see Close.
func (c *Condition) Discard() {}

// Discard is for package proto; see Close.
func (b *Barrier) Discard() {}

// Discard is for package proto; see Close.
func (v *Value[T]) Discard() {}

// Discard is for package proto; see Close.
func (a *Array[T]) Discard() {}

// Discard is for package proto; see Close.
func (m *SharedMemory) Discard() {}

// Discard is for package proto; see Close and Detach.
func (q *Queue[T]) Discard() {}
