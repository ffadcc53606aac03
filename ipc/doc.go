// Package ipc connects processes that already exist: wires between two of them
// ([Conn], [Pipe], [Listen]) and objects in memory that any number of them share
// ([Lock], [Queue], [Value] …). It starts no process and kills none; that is package
// supervisor.
//
// Every object is a value that can stand anywhere in a message sent over a Conn,
// and in the argument or the result of a task: it travels as a file descriptor
// and arrives usable. Nothing but the socket of a [Listener] has a name in a file
// system, so nothing is left behind: the kernel frees an object with the last
// descriptor.
//
//	Python                          here
//	Lock, RLock                     NewLock, NewRLock; Acquire returns what is held
//	Semaphore, BoundedSemaphore     NewSemaphore
//	Event, Condition, Barrier       NewEvent, NewCondition, NewBarrier
//	Value, Array                    NewValue, NewArray
//	shared_memory.SharedMemory      NewSharedMemory
//	Queue, SimpleQueue              NewQueue
//	JoinableQueue                   NewJoinableQueue
//	Pipe()                          Pipe; PipeOneWay for duplex=False
//	connection.Connection           Conn; send_bytes and recv_bytes_into are
//	                                SendBytes and RecvBytesInto
//	connection.Listener, Client     Listen, Dial
//	connection.wait                 Wait; Done makes a sentinel of a channel
//	reduction, DupFd                any object in a message; File for an *os.File
//
// Objects of a manager ([Manager], [Connect]) are for processes that have no memory in common, on other
// machines, in other languages: PROTOCOL.md of package proto has all of it. Every method of one is a call of
// about the time of two wake-ups; a thousand times what the same in memory takes.
//
//	managers.BaseManager            Manager; supervisor.StartManager; Connect
//	Manager().dict(), list()        NewDict, NewList
//	Namespace(), Value(), Array()   NewNamespace, NewManagedValue, NewManagedArray
//	Lock(), RLock()                 NewManagedLock, NewManagedRLock
//	Semaphore(), Event()            NewManagedSemaphore, NewManagedEvent
//	Condition(), Barrier()          NewManagedCondition, NewManagedBarrier
//	Queue(), JoinableQueue()        NewManagedQueue
//	Pool()                          OpenManagedPool
//
// # Guarantees
//
// A process that dies, at whatever instruction, holds nothing afterwards: the next
// waiter gets its lock and is told ([Held.OwnerDied]). A stopped process is not
// dead. What a dead process had under way in the kernel is finished before its
// lock is handed on. Every wait ends when its context does.
//
// Who waits for whom is written at the locks: [Deadlocks] finds waits that cannot end, and
// [Lock.Refuse] ends one. (To look now and then is for package supervisor.)
//
// # Limits
//
// Linux only; all processes in one pid namespace; 1,023 processes to an object. An
// object costs one descriptor and one or two pages in each process that uses it.
// Locks are not fair, and two goroutines of one process exclude each other like
// two processes.
package ipc
