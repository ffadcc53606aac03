// Package ipc connects processes that already exist: wires between two of them
// ([Conn], [Pipe]) and objects in memory that any number of them share ([Lock]).
// It starts no process and kills none; that is package supervisor.
//
// Every object is a value that can stand anywhere in a message sent over a Conn,
// and in the argument or the result of a task: it travels as a file descriptor
// and arrives usable. Nothing has a name in a file system, so nothing is left
// behind: the kernel frees an object with the last descriptor.
//
//	Python                       here
//	multiprocessing.Lock()       NewLock; Acquire returns what is held
//	multiprocessing.Pipe()       Pipe
//	connection.Connection        Conn
//	reduction, DupFd             any object in a message; File for an *os.File
//
// # Guarantees
//
// A process that dies, at whatever instruction, holds nothing afterwards: the next
// waiter gets its lock and is told ([Held.OwnerDied]). A stopped process is not
// dead. What a dead process had under way in the kernel is finished before its
// lock is handed on. Every wait ends when its context does.
//
// # Limits
//
// Linux only; all processes in one pid namespace; 1,023 processes to an object. An
// object costs one descriptor and one or two pages in each process that uses it.
// Locks are not fair, and two goroutines of one process exclude each other like
// two processes.
package ipc
