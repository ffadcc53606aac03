package main

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/seed-185a7250/multiproc/ipc"
)

// A sharedKind is one kind of object that a job can share: what its description may say besides the kind, and how it is made.
type sharedKind struct {
	options []field[Shared]
	check   func(*jobReader, *node, string, *Shared) // what no option can say alone, or nil
	open    func(Shared) (io.Closer, error)          // in shared memory; nil: only a manager has it
	managed func(Shared) []any                       // what a manager creates it with; nil: none has it
}

// sharedKinds are all kinds by the name that job files give them. A job's objects are of types that any task can use: numbers
// are int64 or float64, and a queue takes whatever JSON has.
var sharedKinds = map[string]sharedKind{
	"lock": {
		options: []field[Shared]{handoffField, managedField},
		open: func(s Shared) (io.Closer, error) {
			return ipc.NewLock(ipc.LockOptions{Name: s.Name, Handoff: s.Handoff})
		},
		managed: lockArgs,
	},
	"rlock": {
		options: []field[Shared]{managedField},
		open:    func(s Shared) (io.Closer, error) { return ipc.NewRLock(s.Name) },
		managed: noArgs,
	},
	"semaphore": {
		options: []field[Shared]{permitsField(0), handoffField, managedField},
		open:    func(s Shared) (io.Closer, error) { return newSemaphore(s, false) },
		managed: semaphoreArgs,
	},
	"bounded_semaphore": {
		options: []field[Shared]{permitsField(1), handoffField, managedField},
		open:    func(s Shared) (io.Closer, error) { return newSemaphore(s, true) },
		managed: semaphoreArgs,
	},
	"event": {
		options: []field[Shared]{managedField},
		open:    func(s Shared) (io.Closer, error) { return ipc.NewEvent(s.Name) },
		managed: noArgs,
	},
	"condition": {
		options: []field[Shared]{managedField},
		open:    func(s Shared) (io.Closer, error) { return ipc.NewCondition(s.Name, nil) },
		managed: noArgs,
	},
	"barrier": {
		options: []field[Shared]{partiesField, managedField},
		open:    func(s Shared) (io.Closer, error) { return ipc.NewBarrier(s.Name, s.Parties) },
		managed: barrierArgs,
	},
	"value": {
		options: []field[Shared]{typeField, valueField, managedField},
		open:    newValue,
		managed: valueArgs,
	},
	"array": {
		options: []field[Shared]{typeField, lengthField, valuesField, managedField},
		check:   checkArray,
		open:    newArray,
		managed: arrayArgs,
	},
	"memory": {
		options: []field[Shared]{memoryField},
		open:    func(s Shared) (io.Closer, error) { return ipc.NewSharedMemory(s.Size) },
	},
	"queue": {
		options: []field[Shared]{itemsField, bytesField, managedField},
		check:   checkQueue,
		open:    func(s Shared) (io.Closer, error) { return ipc.NewQueue[any](s.queueOptions()) },
		managed: queueArgs,
	},
	"joinable_queue": {
		options: []field[Shared]{itemsField, bytesField, redeliverField, managedField},
		check:   checkQueue,
		open:    func(s Shared) (io.Closer, error) { return ipc.NewJoinableQueue[any](s.queueOptions()) },
		managed: queueArgs,
	},
	"file": {
		options: []field[Shared]{pathField},
		open:    openFile,
	},

	"dict":           {options: []field[Shared]{entriesField}, managed: collectionArgs},
	"list":           {options: []field[Shared]{elementsField}, managed: collectionArgs},
	"namespace":      {options: []field[Shared]{entriesField}, managed: collectionArgs},
	"simple_queue":   {options: []field[Shared]{itemsField}, managed: queueArgs},
	"lifo_queue":     {options: []field[Shared]{itemsField}, managed: queueArgs},
	"priority_queue": {options: []field[Shared]{itemsField}, managed: queueArgs},
}

func newSemaphore(s Shared, bounded bool) (io.Closer, error) {
	return ipc.NewSemaphore(ipc.SemaphoreOptions{Name: s.Name, Permits: s.Permits, Bounded: bounded, Handoff: s.Handoff})
}

func (s Shared) queueOptions() ipc.QueueOptions {
	return ipc.QueueOptions{Name: s.Name, Items: s.Size, Bytes: s.Bytes, Redeliver: s.Redeliver}
}

func newValue(s Shared) (io.Closer, error) {
	if s.Type == floatType {
		return ipc.NewValue(s.Name, s.number(0).float)
	}
	return ipc.NewValue(s.Name, s.number(0).whole)
}

func newArray(s Shared) (io.Closer, error) {
	n := max(s.Size, len(s.Numbers))
	if s.Type == floatType {
		return filled(s, n, func(i int) float64 { return s.number(i).float })
	}
	return filled(s, n, func(i int) int64 { return s.number(i).whole })
}

func filled[T int64 | float64](s Shared, n int, at func(int) T) (io.Closer, error) {
	a, err := ipc.NewArray[T](s.Name, n)
	if err != nil {
		return nil, err
	}
	for i := range s.Numbers {
		a.Set(i, at(i))
	}
	return a, nil
}

// openFile opens a file for all that write to it, each at its end. "-" is the master's own standard output.
func openFile(s Shared) (io.Closer, error) {
	if s.Path == "-" {
		fd, err := unix.FcntlInt(1, unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			return nil, os.NewSyscallError("fcntl", err)
		}
		return &ipc.File{File: os.NewFile(uintptr(fd), "standard output")}, nil
	}
	f, err := os.OpenFile(s.Path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o666)
	if err != nil {
		return nil, plain(s.Path, err)
	}
	return &ipc.File{File: f}, nil
}

// sharedObjects are the objects of a running job by name. They are made before any process starts, and closed when all have ended.
type sharedObjects map[string]io.Closer

// openShared makes the objects of a job. The manager is nil if the job needs none.
func openShared(job *Job, m *jobManager) (sharedObjects, error) {
	objects := sharedObjects{}
	for _, s := range job.Shared {
		object, err := openOne(s, m)
		if err != nil {
			objects.close()
			return nil, fmt.Errorf("shared %q: %w", s.Name, err)
		}
		objects[s.Name] = object
	}
	return objects, nil
}

func openOne(s Shared, m *jobManager) (io.Closer, error) {
	if s.managed() {
		return m.create(s)
	}
	object, err := sharedKinds[s.Kind].open(s)
	if err != nil {
		return nil, err
	}
	if err = m.deposit(s.Name, object); err != nil {
		closeShared(object)
		return nil, err
	}
	return object, nil
}

// lookup is what resolve asks.
func (o sharedObjects) lookup(name string) (any, bool) {
	object, ok := o[name]
	return object, ok
}

func (o sharedObjects) close() {
	for _, object := range o {
		closeShared(object)
	}
}

func closeShared(object io.Closer) {
	if q, ok := object.(interface{ Detach() error }); ok {
		q.Detach() // to close a queue is something else
		return
	}
	object.Close() // the memory is freed with its last user whatever Close says
}
