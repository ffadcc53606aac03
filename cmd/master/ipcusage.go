package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

const ipcUsage = `master ipc is the shell's way to a manager (master manager -h).

    master ipc dict set -create db count 1
    master ipc dict add db count 5
    master ipc queue put work '{"id": 7}' && master ipc queue get work -timeout 5s
    master ipc lock disk -- backup /home
    master ipc sem -value 3 downloads -- curl -O https://example.org/file

    master ipc [flags] COMMAND …
    master ipc [flags] KIND OPERATION OBJECT …

OBJECT is a name, or @ and an id. Flags may stand anywhere before "--".

Flags of all:
    -socket ADDRESS     where the manager is: the path of a socket, or tcp:host:port; default: the environment variable MULTIPROC_SOCKET
%s    -s                  values are strings as they are: dict set -s db name Anna
    -k                  keys are JSON: dict get -k db '{"$tuple": [1, 2]}'; else they are strings as they are
    -r                  print strings as they are, without quotes, and bytes as they are, without a newline
    -h                  print this

Flags of some:
    -create             create the object if it is missing; the manager keeps it
    -timeout DURATION   wait so long at most; 0s does not wait. Default: without a limit
    -default VALUE      what get, pop and get-many answer where there is nothing
    -start VALUE        what add begins with where there is nothing
    -value, -parties, -maxsize N
                        with how many permits, parties, items to create a semaphore, barrier, queue, if it is missing
    -n                  lock, sem: do not wait
    -E STATUS           lock, sem: exit with that where the lock was not got; default 1
    -n N                queue get: up to N items, as many as there are when the first has come
    -all                queue get: go on until the queue is closed
    -now                queue close: what is left in it is dropped
    -reverse            list sort: the greatest first
    -existing           create: take what has that name, if it is of that kind
    -json               list: a line of JSON for each object
    -kind KIND, -prefix TEXT
                        list: only these

Commands:
%s
list is both: alone it shows all objects; with an operation it is about an object of kind list. lock and sem run a command and exit with
its status; should they be killed, the command is killed too, and the lock given back when all of it is gone. The command finds the
token of the lock in MULTIPROC_TOKEN, and MULTIPROC_OWNER_DIED=1 if the last holder died holding it. create prints the id of what the
manager then keeps, drop ends that. call calls any operation of proto/PROTOCOL.md, also those that are not shown here:
call pool run '"print"' '{"text": "hi"}'.

Operations (PROTOCOL.md, Managers, has what they do):
%s
Values go in and come out as JSON, on a line each; "-" reads one from standard input (queue put: one on each line). Integers of any size
stay integers, numbers with a point or an exponent are floats. What JSON has no word for is an object with one key:
    {"$base64": "AP8="} or {"$bin": "00ff"}   bytes               {"$tuple": […]}  {"$set": […]}  {"$frozenset": […]}
    {"$float": "nan"}, "inf", "-inf"          floats              {"$map": [[key, value], …]}   keys that are not all strings
    {"$ref": "name"}, id, [instance, id]      an object           {"$time": "2006-01-02T15:04:05Z"}
    {"$slice": [start, stop, step]}           {"$complex": [1.0, 2.0]}
    {"$str": {"$base64": …}}                  a string that is not UTF-8
    {"$ext": [code, {"$base64": …}]}          any other extension
A list's INDEX may be a slice such as 1:3 or ::2.

Exit status: 0 done, and what was asked is true; 1 no such key, index or name, nothing there, full, closed, the time is over, not
acquired, or false; 2 bad usage; 3 the manager cannot be reached, or is gone; 4 no such object, or its name is taken; 5 the manager
refused, or the result could not be written (what queue get has taken is lost then); 126, 127 the command of lock or sem cannot be run, is not found; 128+N ended by signal N.
`

// printIPCUsage writes what -h shows.
func printIPCUsage(w io.Writer) error {
	var commands, operations strings.Builder
	for i := range ipcCommands {
		c := ipcCall{op: &ipcCommands[i]}
		fmt.Fprintf(&commands, "    %s\n", c.usageLine())
	}
	others := map[string]bool{"joinable_queue": true, "simple_queue": true, "lifo_queue": true, "priority_queue": true, "bounded_semaphore": true}
	for _, kind := range slices.Sorted(maps.Keys(ipcKinds)) {
		if others[kind] { // with the first of its family
			continue
		}
		fmt.Fprintf(&operations, "    %s\n", familyOf(kind))
		for _, line := range wrapOps(ipcKinds[kind]) {
			fmt.Fprintf(&operations, "        %s\n", line)
		}
	}
	_, err := fmt.Fprintf(w, ipcUsage, accessUsage, commands.String(), operations.String())
	return err
}

// familyOf names the kinds that have the same operations.
func familyOf(kind string) string {
	switch kind {
	case "queue":
		return "queue, joinable_queue, simple_queue, lifo_queue, priority_queue"
	case "semaphore":
		return "semaphore, bounded_semaphore"
	}
	return kind
}

// wrapOps shows operations without the OBJECT that all have.
func wrapOps(ops []ipcOp) []string {
	const width = 110
	var lines []string
	line := ""
	for i := range ops {
		c := ipcCall{op: &ops[i]}
		word := c.usageLine()
		if len(line)+len(word) > width && line != "" {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += ", "
		}
		line += word
	}
	return append(lines, line)
}
