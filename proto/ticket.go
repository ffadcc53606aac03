package proto

import "time"

// A Run is the master's request to run one task. Its answer is the task's result,
// exactly one, also after a Cancel.
type Run struct {
	Task string // name as in Hello
	Args Raw    // one encoded value. The descriptors of its handles are the first of the frame

	Ticket   string        // id of the ticket, for logs
	Attempt  int           // which attempt this is, from 1; 0 (not said) is 1
	Attempts int           // how many there may be; 0 (not said) is 1
	Timeout  time.Duration // remaining; 0: none
	Grace    time.Duration // between the end of Timeout and being killed; 0: not said
	Seq      uint64        // number of the ticket in its job
	Chunk    int           // elements in Args, an array, for a worker with CapChunk; 0: Args are the argument itself
	Epoch    uint64        // in which it was handed over, for a worker that claims; see Claim
}

// AppendRunParams appends the params [task, args, {ticket, …}]. No Args stand for
// nil. See AppendRunHead to save the copy of long ones.
func AppendRunParams(b []byte, r Run) []byte {
	b = AppendRunHead(b, r.Task)
	if len(r.Args) == 0 {
		b = AppendNil(b)
	}
	return AppendRunTail(append(b, r.Args...), r)
}

// AppendRunHead appends what stands before the args of a Run, and AppendRunTail what
// stands behind them, so that a writer of several buffers can send the args from
// where they are.
func AppendRunHead(b []byte, task string) []byte {
	return AppendString(AppendArrayHeader(b, 3), task)
}

// AppendRunTail appends the options of r; its Task and Args are not looked at.
func AppendRunTail(b []byte, r Run) []byte {
	w := beginOptions(b)
	w.str("ticket", r.Ticket)
	if r.Attempts > 1 {
		w.count("attempt", r.Attempt)
		w.count("attempts", r.Attempts)
	}
	w.ms("timeout_ms", r.Timeout)
	w.ms("grace_ms", r.Grace)
	w.uint("seq", r.Seq)
	w.uint("epoch", r.Epoch)
	w.count("chunk", r.Chunk)
	return w.end()
}

// ParseRun reads the params of a Run. Args alias p.
func ParseRun(p Raw) (r Run, err error) {
	c := cursor{b: p}
	if err = c.tuple(3, "run"); err != nil {
		return r, err
	}
	if r.Task, err = c.text("the task"); err != nil {
		return r, err
	}
	if r.Args, err = c.raw("the arguments"); err != nil {
		return Run{}, err
	}
	err = c.options("the options of run", func(key []byte) (_ bool, err error) {
		switch string(key) {
		case "ticket":
			r.Ticket, err = c.text("ticket")
		case "attempt":
			r.Attempt, err = c.count("attempt")
		case "attempts":
			r.Attempts, err = c.count("attempts")
		case "timeout_ms":
			r.Timeout, err = c.ms("timeout_ms")
		case "grace_ms":
			r.Grace, err = c.ms("grace_ms")
		case "seq":
			r.Seq, err = c.uint("seq")
		case "chunk":
			r.Chunk, err = c.count("chunk")
		case "epoch":
			r.Epoch, err = c.uint("epoch")
		default:
			return false, nil
		}
		return true, err
	})
	if err == nil {
		err = c.end("run")
	}
	if err != nil {
		return Run{}, err
	}
	return r, nil
}

// A Cancel is the master's notification that a Run should end soon: the context of
// the task ends. The Run is answered all the same. A Cancel for a request that is
// not running is ignored: its answer may be on the way.
type Cancel struct {
	ID     uint64        // id of the Run request
	Reason string        // for the task and for logs: "timeout", "cancelled"
	Grace  time.Duration // until the worker is killed; 0: not said
}

// AppendCancelParams appends the params [id, {reason, grace_ms}].
func AppendCancelParams(b []byte, v Cancel) []byte {
	b = AppendArrayHeader(b, 2)
	b = AppendUint(b, v.ID)
	w := beginOptions(b)
	w.str("reason", v.Reason)
	w.ms("grace_ms", v.Grace)
	return w.end()
}

// ParseCancel reads the params of a Cancel. What it returns shares nothing with p.
func ParseCancel(p Raw) (v Cancel, err error) {
	c := cursor{b: p}
	if err = c.tuple(2, "cancel"); err != nil {
		return v, err
	}
	if v.ID, err = c.id(); err != nil {
		return v, err
	}
	err = c.options("the options of cancel", func(key []byte) (_ bool, err error) {
		switch string(key) {
		case "reason":
			v.Reason, err = c.text("reason")
		case "grace_ms":
			v.Grace, err = c.ms("grace_ms")
		default:
			return false, nil
		}
		return true, err
	})
	if err == nil {
		err = c.end("cancel")
	}
	if err != nil {
		return Cancel{}, err
	}
	return v, nil
}

// A Stop is the master's notification that no Run will follow: the worker finishes
// the one it has and exits with status 0.
type Stop struct {
	Grace time.Duration // until it is terminated; 0: not said
}

// AppendStopParams appends the params [{grace_ms}].
func AppendStopParams(b []byte, v Stop) []byte {
	w := beginOptions(AppendArrayHeader(b, 1))
	w.ms("grace_ms", v.Grace)
	return w.end()
}

// ParseStop reads the params of a Stop.
func ParseStop(p Raw) (v Stop, err error) {
	c := cursor{b: p}
	if err = c.tuple(1, "stop"); err != nil {
		return v, err
	}
	err = c.options("the options of stop", func(key []byte) (_ bool, err error) {
		if string(key) != "grace_ms" {
			return false, nil
		}
		v.Grace, err = c.ms("grace_ms")
		return true, err
	})
	if err == nil {
		err = c.end("stop")
	}
	if err != nil {
		return Stop{}, err
	}
	return v, nil
}
