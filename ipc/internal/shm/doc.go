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
// sleeps on a futex word in its own slot. The queue is the set of slots with an
// order number; there are no links that a death could break. Waking is by name:
// whoever gives something up looks for the lowest order number and wakes that
// slot.
//
// # Death
//
// Each sleeper watches, by pidfd, exactly one other process: the one it depends
// on. The first of the queue depends on the owner, every other one on the waiter
// before it. A pidfd becomes readable when the last thread of a process has left
// the kernel, so nothing the dead one had under way can land after its lock has
// been handed on. The watcher repairs the slot of the dead and looks again. So
// each process that anybody depends on is watched by whoever depends on it, and
// nobody has to be told when a watch must change: the one event that takes away a
// predecessor without its death or its becoming the owner is a cancelled wait,
// and the canceller wakes its successor. (The idea is that of a CLH queue lock:
// look at your predecessor only.)
//
// A stopped process is not dead and keeps what it holds. But it does not look: one
// that was woken, or whose watch has told it of a death, does nothing until it goes on.
// So that those behind it do not wait for that, every sleeper looks again by itself
// after [relookMin], doubling to [relookMax]: at the owner, and at the first of the
// queue, which goes to the end if it was woken and has not come. The same look covers a
// process that dies between giving a handoff lock up and waking: nobody watches that.
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
