package main

import (
	"maps"
	"slices"
	"strings"
)

// An ipcOp is one thing that `master ipc` does: a command such as ping, or an operation of a kind of object.
type ipcOp struct {
	name   string
	params string // words as the usage shows them; paramShapes has what they are. A further one in front is OBJECT, for operations of a kind
	flags  string // what it takes besides; ipcFlags has them
	op     string // the operation of PROTOCOL.md, where its name is another
	show   show
	none   bool // value_error is a negative answer: what was looked for is not there
	run    func(s *ipcShell) error
}

// show says what is done with a result.
type show uint8

const (
	showNothing show = iota
	showValue
	showMap    // pairs, as an object
	showLines  // the elements of an array, a line each
	showTruth  // true or false, which is the exit status too
	showStatus // the exit status alone
	showNumber // 0 is a negative answer
)

// A shape is what an argument is.
type shape uint8

const (
	wordShape   shape = iota // a string, as it is
	keyShape                 // a string as it is; JSON with -k
	valueShape               // JSON, or with -s a string as it is; "-" is standard input
	jsonShape                // JSON
	numberShape              // an integer
	indexShape               // an integer, or a slice such as 1:3
	objectShape              // the name of an object, or @ and its id
	restShape                // a command with its arguments
)

var paramShapes = map[string]shape{
	"OBJECT": objectShape, "LIST": objectShape, "COMMAND": restShape,
	"KEY": keyShape, "VALUE": valueShape, "OLD": valueShape, "NEW": valueShape,
	"PAIRS": jsonShape, "ARRAY": jsonShape, "JSON": jsonShape, "DELTA": jsonShape,
	"INDEX": indexShape, "AT": numberShape, "N": numberShape, "START": numberShape, "STOP": numberShape, "FROM": numberShape, "TO": numberShape,
	"MAX": numberShape, "VERSION": jsonShape,
	"NAME": wordShape, "KIND": wordShape, "OP": wordShape, "CONDITION": wordShape,
}

// A param is one word of ipcOp.params: X, [X], X… (one or more, as one array) or [X…].
type param struct {
	word     string
	shape    shape
	optional bool
	many     bool
}

func (o *ipcOp) parameters() []param {
	var list []param
	for _, word := range strings.Fields(o.params) {
		p := param{optional: word[0] == '['}
		word = strings.Trim(word, "[]")
		p.word, p.many = strings.CutSuffix(word, "…")
		p.shape = paramShapes[p.word]
		list = append(list, p)
	}
	return list
}

// wire is its name in PROTOCOL.md.
func (o *ipcOp) wire() string {
	if o.op != "" {
		return o.op
	}
	return strings.ReplaceAll(o.name, "-", "_")
}

// ipcCommands are those that are no operations of a kind.
var ipcCommands []ipcOp

func init() { // they lead back to the table by way of the usage
	ipcCommands = []ipcOp{
		{name: "lock", params: "OBJECT COMMAND", flags: "n timeout E create", run: (*ipcShell).lock},
		{name: "sem", params: "OBJECT COMMAND", flags: "n timeout E create value", run: (*ipcShell).lock},
		{name: "create", params: "KIND NAME [JSON…]", flags: "existing", run: (*ipcShell).create},
		{name: "drop", params: "OBJECT", run: (*ipcShell).drop},
		{name: "list", flags: "json kind prefix", run: (*ipcShell).list},
		{name: "describe", params: "OBJECT", run: (*ipcShell).describe},
		{name: "call", params: "OBJECT OP [JSON…]", flags: "timeout", run: (*ipcShell).callAny},
		{name: "stats", run: (*ipcShell).stats},
		{name: "ping", run: (*ipcShell).ping},
		{name: "shutdown", run: (*ipcShell).shutdown},
	}
}

// ipcKinds are the operations by kind of object.
var ipcKinds map[string][]ipcOp

func init() {
	queue := []ipcOp{
		{name: "put", params: "VALUE…", flags: "timeout maxsize", run: (*ipcShell).put},
		{name: "get", flags: "timeout many all", run: (*ipcShell).get},
		{name: "len", show: showValue}, {name: "empty", show: showTruth}, {name: "full", show: showTruth},
		{name: "maxsize", params: "[N]", show: showValue},
		{name: "done", params: "[N]", op: "task_done"},
		{name: "join", flags: "timeout"},
		{name: "unfinished", show: showValue},
		{name: "close", flags: "now"}, {name: "closed", show: showTruth},
		{name: "getting", show: showValue}, {name: "putting", show: showValue},
	}
	semaphore := []ipcOp{
		{name: "value", show: showValue},
		{name: "release", params: "[N]"},
	}
	ipcKinds = map[string][]ipcOp{
		"dict": {
			{name: "get", params: "KEY", flags: "default", show: showValue},
			{name: "set", params: "KEY VALUE"},
			{name: "del", params: "KEY", op: "delete"},
			{name: "contains", params: "KEY", show: showTruth},
			{name: "len", show: showValue},
			{name: "pop", params: "KEY", flags: "default", show: showValue},
			{name: "popitem", show: showValue},
			{name: "setdefault", params: "KEY [VALUE]", show: showValue},
			{name: "insert", params: "KEY VALUE", show: showTruth},
			{name: "update", params: "PAIRS"},
			{name: "clear"},
			{name: "keys", show: showLines}, {name: "values", show: showLines}, {name: "items", show: showLines},
			{name: "copy", show: showMap},
			{name: "get-many", params: "KEY…", flags: "default", show: showLines},
			{name: "add", params: "KEY DELTA", flags: "start", show: showValue},
			{name: "cas", params: "KEY OLD NEW", show: showTruth},
			{name: "delete-if", params: "KEY OLD", show: showTruth},
			{name: "get-version", params: "KEY", show: showValue},
			{name: "cas-version", params: "KEY VERSION NEW", show: showNumber},
			{name: "version", show: showValue},
			{name: "get-or-create", params: "KEY KIND [JSON…]", show: showValue},
			{name: "wait", params: "KEY CONDITION [VALUE]", flags: "timeout", show: showValue},
			{name: "watch", params: "VERSION [KEY…]", flags: "timeout", show: showValue},
		},
		"list": {
			{name: "get", params: "INDEX", show: showValue},
			{name: "set", params: "INDEX VALUE"},
			{name: "del", params: "INDEX", op: "delete"},
			{name: "insert", params: "AT VALUE"},
			{name: "push", params: "VALUE…", op: "extend"},
			{name: "extend", params: "ARRAY"},
			{name: "pop", params: "[AT]", show: showValue},
			{name: "remove", params: "VALUE", none: true},
			{name: "index", params: "VALUE [START] [STOP]", show: showValue, none: true},
			{name: "count", params: "VALUE", show: showValue},
			{name: "contains", params: "VALUE", show: showTruth},
			{name: "reverse"},
			{name: "sort", flags: "reverse"},
			{name: "len", show: showValue},
			{name: "clear"},
			{name: "items", op: "copy", show: showLines}, {name: "copy", show: showValue},
			{name: "concat", params: "ARRAY", show: showValue},
			{name: "repeat", params: "N", show: showValue},
			{name: "imul", params: "N"},
			{name: "add", params: "AT DELTA", show: showValue},
			{name: "cas", params: "AT OLD NEW", show: showTruth},
			{name: "push-trim", params: "VALUE MAX", show: showLines},
			{name: "move", params: "LIST [FROM] [TO]", show: showValue},
			{name: "wait", params: "CONDITION N", flags: "timeout", show: showValue},
		},
		"namespace": {
			{name: "get", params: "NAME", show: showValue},
			{name: "set", params: "NAME VALUE"},
			{name: "del", params: "NAME", op: "delete"},
			{name: "contains", params: "NAME", show: showTruth},
			{name: "names", show: showLines}, {name: "items", show: showLines},
			{name: "add", params: "NAME DELTA", flags: "start", show: showValue},
			{name: "cas", params: "NAME OLD NEW", show: showTruth},
		},
		"value": {
			{name: "get", show: showValue},
			{name: "set", params: "VALUE"},
			{name: "add", params: "DELTA", flags: "initial", show: showValue},
			{name: "cas", params: "OLD NEW", show: showTruth},
			{name: "type", show: showValue},
		},
		"array": {
			{name: "get", params: "INDEX", show: showValue},
			{name: "set", params: "INDEX VALUE"},
			{name: "len", show: showValue},
			{name: "items", op: "copy", show: showLines}, {name: "copy", show: showValue},
			{name: "type", show: showValue},
			{name: "add", params: "AT DELTA", show: showValue},
			{name: "cas", params: "AT OLD NEW", show: showTruth},
		},
		"event": {
			{name: "set"}, {name: "clear"},
			{name: "is-set", show: showTruth},
			{name: "wait", flags: "timeout", show: showStatus},
		},
		"barrier": {
			{name: "wait", flags: "timeout parties", run: (*ipcShell).meet},
			{name: "abort"}, {name: "reset"},
			{name: "parties", show: showValue}, {name: "waiting", show: showValue}, {name: "broken", show: showTruth},
		},
		"condition": {
			{name: "wait", flags: "timeout", run: (*ipcShell).condition},
			{name: "notify", params: "[N]", run: (*ipcShell).condition},
			{name: "notify-all", run: (*ipcShell).condition},
			{name: "waiting", show: showValue}, {name: "locked", show: showTruth},
		},
		"queue": queue, "joinable_queue": queue, "simple_queue": queue, "lifo_queue": queue, "priority_queue": queue,
		"semaphore": semaphore, "bounded_semaphore": semaphore,
	}
}

// opNames are the names of operations, for messages.
func opNames(ops []ipcOp) []string {
	var names []string
	for _, o := range ops {
		names = append(names, o.name)
	}
	return names
}

// ipcNames are all words that may come first.
func ipcNames() []string {
	names := slices.Concat(opNames(ipcCommands), slices.Collect(maps.Keys(ipcKinds)))
	slices.Sort(names)
	return slices.Compact(names)
}

func findOp(ops []ipcOp, name string) *ipcOp {
	name = strings.ReplaceAll(name, "_", "-")
	for i := range ops {
		if ops[i].name == name {
			return &ops[i]
		}
	}
	return nil
}
