// Package supervisor starts operating-system processes, gives them work, and sees to it that none of them outlives
// its purpose. It is what Python's multiprocessing calls Process and Pool, and Erlang a supervisor, on real PIDs.
//
// A [Process] is one child, used once: started by exec, never by a bare fork, leader of a group of its own, waited for by
// one goroutine through its pidfd. It runs a command (a [Spec]), or an [Entry]: a function with a name, in a process of its
// own, with an argument that may hold locks, queues and files. A [Task] is a function with a name, by which another process finds it. A [Pool]
// is a number of worker places; each keeps itself filled with a process, takes a [Ticket] at a time, and keeps it
// until there is one [Result]. Short tickets it hands to its process ahead, and takes back what waits behind a long one. A [Future] is what comes of a ticket, of a function that an [Executor] runs in this
// process, or of a [Group] of those; see [Gather], [Wait] and [AsCompleted].
//
// # The way of a ticket
//
//	Submit ──▶ backlog ──▶ place 1 ═══frames═══▶ worker process ──▶ task
//	  │                    place 2 ═══    ▲                          │
//	  ▼                    place 3 ═══    │ descriptor 3             │
//	Pending ◀── Result ◀── the same place ◀═══════frame══════════════┘
//
//	accepted     by [Pool.Submit], which waits while the backlog is full: that is the back-pressure
//	waiting      in the master, not in a pipe: it can be cancelled at once
//	handed over  by one place to its process, perhaps behind others; until it has begun it can be taken back
//	begun        it never changes hands after that: the process has claimed it in the page that it shares with the master
//	under way    one request on the place's own socket pair, shared with nobody
//	answered     value or fault; what a process has written before its death counts
//	died         the process ended without an answer: an attempt is over, another process is started
//	finished     exactly once, with what became of it: see [Outcome]
//
// There is exactly one Result to each accepted ticket, whatever dies. Execution is at most once with one attempt, at
// least once with more. A death that comes before a ticket has begun costs it no attempt; a death when idle
// costs nobody anything. No two workers share a lock, a pipe or a page, so a dying one can hurt its own ticket only.
//
// # Supervision
//
// A [Supervisor] keeps processes running that are there to stay: commands, entries, and Supervisors as its children. They
// start in order, each when the one before is ready ([Readiness]), and stop in reverse, each within its own grace. One
// that ends, or gives no sign of life ([Liveness]), is started again by its rule (Permanent, Transient, Temporary), with
// those that cannot do without it (OneForOne, OneForAll, RestForOne), after a back-off that begins anew when it has
// run well for a while. More than Intensity restarts in a Period, and it ends with [ErrRestartLimit] and the last
// [ChildError]. What happens is told in [ChildEvent] values on a channel that it never waits for; [Supervisor.Status]
// is a value, too, and costs the Supervisor nothing.
//
//	supervisor (OTP)                        here
//	start_link, {Strategy, MaxR, MaxT}      NewSupervisor(ctx, SupervisorOptions{Strategy, Intensity, Period, Children})
//	child_spec(): id, start, restart        ChildSpec: ID, Program or Tree, Restart
//	shutdown: N, brutal_kill, infinity      Spec.Grace: a time, BrutalKill, Infinity
//	init returns, proc_lib:init_ack         Readiness: the program runs; it calls Ready; a line; a check
//	heart                                   Liveness: it calls Alive; a check
//	start_child, terminate_child            StartChild, TerminateChild
//	restart_child, delete_child             RestartChild, DeleteChild
//	which_children, count_children          Status
//	reports of the supervisor               Events
//
// As in OTP, a start that was asked for (the first ones, StartChild, RestartChild) and fails is an error to who asked, and
// is not tried again; and a group that is started again takes with it who was terminated or had finished. Other than in OTP,
// it does not stop listening while it starts or stops a child.
//
// # The end
//
// Everything ends by the same road: the task's context; after the grace SIGTERM to the group; after half of it
// again SIGKILL; reaped; its output delivered; its result given. No step needs the help of what it ends.
//
// [Main] is the main function of a program with workers. In a worker it serves, in the process of an entry it runs that and
// applies the same exit rules; in the master it applies the exit
// rules: pools, Supervisors and daemonic children are ended, others are joined, finalizers run. And when the master dies without
// being asked, by SIGKILL say, the kernel tells its workers, and each takes all its descendants with it.
//
// # Python
//
//	multiprocessing                   here
//	Process(target, args).start()     NewEntry(name, f), Entry.Start(arg, Spec{…}); Start(Spec{…}) runs a command
//	p.pid, p.name, p.daemon           Process.PID, Process.Name, Process.Daemon
//	Process(daemon=True)              Spec.Daemon; what a process starts is daemonic if it is so itself
//	current_process()                 Current: name, pid, ppid, daemon
//	parent_process()                  Parent: pid, name, Done
//	Thread(target, daemon)            Go, which the end of the process waits for; GoDaemon
//	resource.setrlimit, os.nice       Spec.Limits: memory, open files, niceness
//	p.join(timeout)                   Process.Join(ctx)
//	p.exitcode                        Process.Exit, Exit.Status: 0, n or −signal; nothing before the end
//	p.terminate(), p.kill()           Process.Terminate, Process.Kill: the whole group
//	p.sentinel                        Process.Done, a channel; Process.Sentinel, a descriptor
//	p.close()                         Process.Close
//	active_children()                 ActiveChildren
//	atexit, util.Finalize             AtExit
//	if __name__ == "__main__":        Main
//	Pool(n)                           NewPool(ctx, PoolOptions{Workers: n})
//	pool.apply(f, (x,))               Task.Call(ctx, pool, x)
//	pool.apply_async(f, (x,))         Task.Submit(ctx, pool, x), a Future
//	r.get(timeout)                    Future.Get(ctx)
//	asyncio.gather, return_exceptions Gather, GatherAll; Group, which is a Future itself
//	futures.wait, as_completed        Wait(ctx, FirstCompleted, f…), AsCompleted(ctx, f…)
//	ThreadPoolExecutor, submit, map   NewExecutor, Submit(ctx, ex, f), Map(ctx, ex, args, f): the same Future
//	threading.Timer, call_later       SubmitAfter, SubmitAt; Ticket.At
//	RemoteTraceback                   proto.Fault: Kind, Text, Stack
//	WorkerLostError, a hang           WorkerDiedError: which, how, and its last words
//	pool.imap(f, xs), imap_unordered  Task.Map, Task.MapUnordered, over any iterator
//	initializer, maxtasksperchild     PoolOptions.Initializer, MaxTickets
//	callback, error_callback          Future.OnResult, Future.OnError
//	managers.BaseManager.start        StartManager: in a process of its own, or inside this one
//	BaseManager.register, of a Pool   Pool.Offer: other processes and languages submit tickets
//	pool.close(); pool.join()         Pool.Close
//	pool.terminate()                  Pool.Terminate, then Pool.Join
//
// Differences that matter: a worker is never forked from a running program, so it inherits no lock that somebody
// holds; a ticket can be cancelled and has a time limit; locks, pipes and files may stand anywhere in an argument;
// arguments and results are MessagePack, so errors and values travel as data, and no message names code to run.
//
// # Limits
//
// Linux 5.4 or later. One ticket at a time in a worker, unless PoolOptions.Slots says otherwise. A task runs in the goroutine that
// reads what the master says: one that locks its thread (runtime.LockOSThread) has to unlock it. An argument or a result has 64 MiB at most. Starts happen
// one after another, from one thread that lives as long as the process: the kernel's parent-death signal is bound to
// it. A program that is SIGKILLed together with a worker in the same instant may leave that worker's descendants
// behind. A master that is no subreaper (see [SetSubreaper]) does not find what double-forked away from a worker
// that was SIGKILLed. A command that is our own child dies with us, but what it has forked does not if we are SIGKILLed: run it
// from an [Entry], which takes all with it.
package supervisor
