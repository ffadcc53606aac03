package stock

import (
	"fmt"

	"github.com/seed-185a7250/multiproc/ipc"
)

// A shared object stands in arguments as any: a handle says itself what it is, several kinds will do for some tasks, and what is
// wrong can be told in the words of the job file.

// need returns the object under a key of a task's arguments.
func need[T any](task, key string, v any) (T, error) {
	object, ok := v.(T)
	if ok {
		return object, nil
	}
	want := kindOf(any(object))
	if v == nil {
		return object, badArgs(`%s: no %q; expected %s such as {"$shared": "name"}`, task, key, want)
	}
	return object, badArgs(`%s: %s: found %s; expected %s such as {"$shared": "name"}`, task, key, kindOf(v), want)
}

// kindOf names a value in the words of a job file.
func kindOf(v any) string {
	switch v := v.(type) {
	case *ipc.Lock:
		return "a lock"
	case *ipc.RLock:
		return "an rlock"
	case *ipc.Semaphore:
		return "a semaphore"
	case *ipc.Event:
		return "an event"
	case *ipc.Condition:
		return "a condition"
	case *ipc.Barrier:
		return "a barrier"
	case *ipc.Value[int64], *ipc.Value[float64]:
		return "a value"
	case *ipc.Array[int64], *ipc.Array[float64]:
		return "an array"
	case *ipc.SharedMemory:
		return "memory"
	case *ipc.Queue[any]:
		return "a queue"
	case *ipc.JoinableQueue[any]:
		return "a joinable_queue"
	case *ipc.File:
		return "a file"
	case *ipc.Proxy:
		return `"` + v.Kind() + `" of a manager`
	case nil:
		return "nothing"
	case string:
		return fmt.Sprintf("string %q", v)
	case []any:
		return "a list"
	case map[string]any:
		return "an object"
	}
	return fmt.Sprint(v)
}

// line is what a person sees of a task.
func (c call) line(pid int, format string, args ...any) string {
	return fmt.Sprintf("%s: pid %d ", c.id, pid) + fmt.Sprintf(format, args...)
}
