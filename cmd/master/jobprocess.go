package main

import (
	"slices"
	"strings"

	"github.com/seed-185a7250/multiproc/supervisor"
)

// A Process is one element of "processes": a process, or as many as its count says, that are there while the tickets run. What
// it runs is a task, an entry or a command.
type Process struct {
	Task    string // runs once, in a process of its own
	Entry   string // of the worker program: see supervisor.RemoteEntry
	Args    any    // of either; see Entry.Args
	Command []any  // strings and Scratch

	Daemon  bool // told to end when all tickets are done; else awaited
	Restart supervisor.Restart
	Env     map[string]any // string or Scratch; added to the master's
	Dir     string         // "": the master's

	series
	taskOff int // where its task stands
}

var processFields = []field[Process]{
	{"name", "a name", func(r *jobReader, n *node, p *Process) { p.base, p.idOff = r.name(n, "name"), n.off }},
	{"task", "", func(r *jobReader, n *node, p *Process) { p.Task, p.taskOff = r.name(n, "task"), n.off }},
	{"entry", "", func(r *jobReader, n *node, p *Process) { p.Entry = r.name(n, "entry") }},
	{"command", "", (*jobReader).command},
	{"args", "", func(r *jobReader, n *node, p *Process) { p.Args = r.args(n) }},
	{"count", "", func(r *jobReader, n *node, p *Process) { p.repeat, _ = r.whole(n, "count", 1, mostProcesses, "") }},
	{"daemon", "", func(r *jobReader, n *node, p *Process) { p.Daemon = r.flag(n, "daemon") }},
	{"restart", "", (*jobReader).restart},
	{"env", "", (*jobReader).env},
	{"dir", "", func(r *jobReader, n *node, p *Process) { p.Dir = r.name(n, "dir") }},
}

// mostProcesses of one kind are started for a job.
const mostProcesses = 10_000

// processes reads the list of processes.
func (r *jobReader) processes(n *node, j *Job) {
	if n.kind != arrayNode {
		r.wrong(n, "processes", `a list of processes, such as [{"name": "web", "command": ["python3", "-m", "http.server"]}]`)
		return
	}
	for _, item := range n.items {
		if p, ok := r.process(item); ok {
			j.Processes = append(j.Processes, p)
		}
	}
}

// process reads one element of the list. It is refused as a whole when nothing can be said about its name.
func (r *jobReader) process(n *node) (Process, bool) {
	p := Process{Args: map[string]any{}, Restart: supervisor.Temporary, series: series{first: 1, repeat: 1, off: n.off, idOff: n.off}}
	if !r.object(n, "process") {
		return p, false
	}
	readFields(r, n, "a process", processFields, &p)
	r.checkProgram(n)
	p.single = n.find("count") == nil
	return p, p.base != "" && p.repeat > 0
}

// checkProgram: what a process runs is said once.
func (r *jobReader) checkProgram(n *node) {
	var given []member
	unknown := false
	for _, m := range n.members {
		if slices.Contains([]string{"task", "entry", "command"}, m.key) {
			given = append(given, m)
		}
		unknown = unknown || !slices.ContainsFunc(processFields, func(f field[Process]) bool { return f.key == m.key })
	}
	args := n.find("args")
	switch {
	case len(given) == 0 && !unknown: // else it may be misspelt, and that has been said
		r.src.problem(n.off, `a process has no "task", "entry" or "command"; expected one of them`)
	case len(given) > 1:
		r.src.problem(given[1].off, "a process has %s and %s; expected one of them", quote(given[0].key), quote(given[1].key))
	case len(given) == 1 && given[0].key == "command" && args != nil:
		r.src.problem(args.off, `args: a command has its arguments in its list; expected "args" beside "task" or "entry" only`)
	}
}

func (r *jobReader) command(n *node, p *Process) {
	const expected = `a list such as ["sh", "-c", "echo hello"]`
	switch {
	case n.kind != arrayNode:
		r.wrong(n, "command", expected)
	case len(n.items) == 0:
		r.src.problem(n.off, "command: found an empty list; expected %s", expected)
	case n.items[0].kind == stringNode && n.items[0].text == "":
		r.src.problem(n.items[0].off, "command: the program is empty; expected %s", expected)
	}
	for _, item := range n.items {
		p.Command = append(p.Command, r.textOrPath(item, "command"))
	}
}

func (r *jobReader) env(n *node, p *Process) {
	if !r.object(n, "env") {
		return
	}
	p.Env = map[string]any{}
	for _, m := range n.members {
		if m.key == "" || strings.ContainsAny(m.key, "=\x00") {
			r.src.problem(m.off, "env: found %s; expected a name without = and zero bytes", quote(m.key))
		}
		p.Env[m.key] = r.textOrPath(m.value, "env")
	}
}

// textOrPath reads what a program outside is given: it can be handed no shared object.
func (r *jobReader) textOrPath(n *node, what string) any {
	const expected = `a string, or a path such as {"$scratch": "db.json"}`
	switch {
	case n.kind == stringNode && strings.ContainsRune(n.text, 0):
		r.src.problem(n.off, "%s: found a zero byte in a string", what)
	case n.kind == stringNode:
		return n.text
	case n.kind != objectNode:
		r.wrong(n, what, expected)
	default:
		switch v := r.tree(n).(type) {
		case Scratch:
			return v
		case Ref:
			r.src.problem(n.off, "%s: found a shared object; expected %s: shared objects are for tasks", what, expected)
		case map[string]any:
			r.wrong(n, what, expected)
		}
	}
	return ""
}

var restarts = map[string]supervisor.Restart{
	"permanent": supervisor.Permanent, "transient": supervisor.Transient, "temporary": supervisor.Temporary,
}

func (r *jobReader) restart(n *node, p *Process) {
	if !r.text(n, "restart") {
		return
	}
	rule, known := restarts[n.text]
	if !known {
		names := sortedKeys(restarts)
		r.src.problem(n.off, "restart: found %s; expected %s%s", quote(n.text), oneOf(names), didYouMean(n.text, names))
		return
	}
	p.Restart = rule
}
