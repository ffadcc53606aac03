package proto

import "time"

// An Entry is the one message that the process of an entry gets, a notification from
// its parent: what it is and what it runs. Nothing is said before it.
type Entry struct {
	Version int    // of the protocol
	Entry   string // name of the function
	Args    Raw    // one encoded value. The descriptors of its handles are those of the frame

	Name   string        // of the process
	Parent string        // name of the parent
	Daemon bool          // it may not start processes
	Grace  time.Duration // between SIGTERM and SIGKILL; 0: not said
}

// AppendEntryHead appends what stands before the args in the params
// [version, entry, args, {name, …}], and AppendEntryTail what stands behind them, so
// that long ones can be sent from where they are.
func AppendEntryHead(b []byte, e Entry) []byte {
	b = AppendArrayHeader(b, 4)
	b = AppendInt(b, int64(e.Version))
	return AppendString(b, e.Entry)
}

// AppendEntryTail appends the options of e.
func AppendEntryTail(b []byte, e Entry) []byte {
	w := beginOptions(b)
	w.str("name", e.Name)
	w.str("parent", e.Parent)
	w.flag("daemon", e.Daemon)
	w.ms("grace_ms", e.Grace)
	return w.end()
}

// AppendEntryParams appends all of them. No Args stand for nil.
func AppendEntryParams(b []byte, e Entry) []byte {
	b = AppendEntryHead(b, e)
	if len(e.Args) == 0 {
		b = AppendNil(b)
	}
	return AppendEntryTail(append(b, e.Args...), e)
}

// ParseEntry reads the params of an Entry. Args alias p.
func ParseEntry(p Raw) (e Entry, err error) {
	c := cursor{b: p}
	if err = c.tuple(4, "entry"); err != nil {
		return e, err
	}
	if e.Version, err = c.count("the version"); err != nil {
		return e, err
	}
	if e.Entry, err = c.text("the entry"); err != nil {
		return e, err
	}
	if e.Args, err = c.raw("the arguments"); err != nil {
		return Entry{}, err
	}
	err = c.options("the options of entry", func(key []byte) (_ bool, err error) {
		switch string(key) {
		case "name":
			e.Name, err = c.text("name")
		case "parent":
			e.Parent, err = c.text("parent")
		case "daemon":
			e.Daemon, err = c.flag("daemon")
		case "grace_ms":
			e.Grace, err = c.ms("grace_ms")
		default:
			return false, nil
		}
		return true, err
	})
	if err == nil {
		err = c.end("entry")
	}
	if err != nil {
		return Entry{}, err
	}
	return e, nil
}
