// Package shm is the shared memory under every primitive of package ipc: a
// sealed memfd that any process may map, a table of the processes that use it,
// and waiting that no death can disturb.
//
// # The segment
//
// A [Segment] is one memfd: a header (format, kind, a random 128-bit id), a
// table of slots, and room for the state of the primitive. A process takes a
// slot with one compare-and-swap of its identity (pid and start time) the first
// time it wants to hold or wait; it is then known to the others by the number of
// the slot. All state is in words that are changed one at a time, and every
// state between two such changes is a valid one, so a process may be killed
// anywhere.
//
// # Waiting
//
// Who waits says so in its own slot (an order number, drawn from a counter) and
// sleeps on a futex word in its own slot. A line is the set of slots with an
// order number; there are no links that a death could break. Waking is by name:
// whoever gives something up looks for the lowest order number and wakes that
// slot. A segment has several lines, for the different things that a process can
// wait for at the same time: one for the mutex in the header, lineA to lineC for what
// the kind defines (the permits of a semaphore; items, room and completion of a queue),
// and one for the second mutex of a queue.
//
// Who changes something has to look into a line only if somebody has come there since it
// was last seen empty. For a mutex this is a flag in the state word, which changes with
// the owner. For all else it is two numbers that only rise: see [line.announce].
//
// In each process one goroutine stands in line, and takes one thread into the kernel;
// the others wait behind it in Go. Where each gets something of its own (a lock, a
// permit, an item), they follow one after the other. Where many get something at once,
// and perhaps not all the same (an event set since, a round of a barrier, a
// notification), they are a crowd, and the one in line looks for all of them.
//
// # Death
//
// Each sleeper watches, by pidfd, those it depends on. The first of a line depends on
// whoever could keep from it what it waits for: the owner of a mutex, the holders of all
// permits, the parties that have come to a barrier, the notified that do not hold the
// lock of a condition again. Every other one depends on the waiter before it. A pidfd
// becomes readable when the last thread of a process has left the kernel, so nothing the
// dead one had under way can land after its lock has been handed on. The watcher repairs
// the slot of the dead and looks again. What takes away a predecessor without its death,
// and without its becoming one of those above, is a cancelled wait, and the canceller
// wakes its successor; whom the first depends on changes where somebody wakes it. (The
// idea is that of a CLH queue lock: look at your predecessor only.)
//
// Who comes to the front because those before it got a permit, or were notified, has not
// been woken and watches only the last of them. The others are watched by who stood behind
// them, which goes on when it waits no more (for the last 16 processes): it repairs the
// slot, and that wakes the first in line, whoever that is by then.
//
// Repairing is the same for all: what stands in the slot becomes 0, then the slot is
// free. What it held follows from that, each kind in its way:
//
//	mutex      the state word is freed, with the mark that the owner died
//	semaphore  what is free is the total less the sum over the slots: nothing to do
//	event      nothing to hold
//	condition  if the dead had a notification under way, all others who wait are notified
//	barrier    broken first, if the dead was in the present round
//	queue      see [Queue]
//
// Several may repair at once, late, or die half way. So each step is a compare-and-swap
// from a word that never comes again: order numbers and tokens are drawn once, and the
// word of a slot counts its changes above what it holds.
//
// A stopped process is not dead and keeps what it holds. But it does not look: one
// that was woken, or whose watch has told it of a death, does nothing until it goes on.
// So that those behind it do not wait for that, every sleeper looks again by itself
// after [relookMin], doubling to [relookMax]: at those it depends on, and at the first of
// the line, which goes to the end if it was woken and has not come. The same look covers
// a process that dies between a change and the wake-up, if nobody watches it: who gives up
// a handoff lock or permit, sets an event, notifies. No lock is held in the middle of
// anything but a queue: a stopped process is in the way only of those who want what it
// holds, or wait for it at a barrier.
//
// # Deadlocks
//
// Each process knows which of its goroutines acquired a lock: two plain stores when it is
// acquired, beside the compare-and-swap. A goroutine whose wait lasts says so at each lock
// that it holds itself (see want.go). Then the locks alone tell who waits for whom, to any
// process that looks at them, and the usual case, who holds nothing else, writes nothing.
//
// # Race detector
//
// It does not see memory that is not Go's. So each object has an edge, a word that it
// does see and that every operation which orders something changes: acquiring and
// releasing, setting an event and having waited for it, coming to a barrier and going.
//
// Two things make a living process look dead, and both are for its user to avoid: a
// segment that is used in two time namespaces (refused for pid namespaces), and a
// program that replaces itself by exec while it holds something looks alive without
// being the owner any more.
//
// # Memory
//
// Closing a segment gives up its slot and its descriptor at once; the memory
// stays mapped until the garbage collector sees that nobody can reach it any
// more, for another goroutine may be between two instructions on it. A segment
// that is dropped without Close is cleaned up the same way.
package shm

import _ "github.com/seed-185a7250/multiproc/ipc/internal/linux" // says what is missing elsewhere
