package proto

// This file has what a client asks of a manager besides calls, and what it is answered.

// A Create asks for a new object, or for one that has the name already.
type Create struct {
	Kind     string
	Args     Raw // an encoded array; nil for none
	Name     string
	Keep     bool // the manager itself refers to it
	Existing bool // take the one of this name and kind, if there is one
}

// AppendCreateParams appends the params [kind, args, {name, keep, existing}].
func AppendCreateParams(b []byte, v Create) []byte {
	b = AppendString(AppendArrayHeader(b, 3), v.Kind)
	if len(v.Args) == 0 {
		b = AppendArrayHeader(b, 0)
	}
	w := beginOptions(append(b, v.Args...))
	w.str("name", v.Name)
	w.flag("keep", v.Keep)
	w.flag("existing", v.Existing)
	return w.end()
}

// AppendObjectParams appends the params [object, {}] of attach and describe.
func AppendObjectParams(b []byte, object ObjectName) []byte {
	return AppendMapHeader(object.append(AppendArrayHeader(b, 2)), 0)
}

// AppendLeaseParams appends the params [object, n, {}] of incref and decref.
func AppendLeaseParams(b []byte, id uint64, n uint64) []byte {
	b = AppendUint(AppendUint(AppendArrayHeader(b, 3), id), n)
	return AppendMapHeader(b, 0)
}

// AppendKeepParams appends the params [object, on, {}].
func AppendKeepParams(b []byte, object ObjectName, on bool) []byte {
	b = AppendBool(object.append(AppendArrayHeader(b, 3)), on)
	return AppendMapHeader(b, 0)
}

// AppendListParams appends the params [{kind, prefix}].
func AppendListParams(b []byte, kind, prefix string) []byte {
	w := beginOptions(AppendArrayHeader(b, 1))
	w.str("kind", kind)
	w.str("prefix", prefix)
	return w.end()
}

// AppendNoParams appends the params [{}] of stats, ping and shutdown.
func AppendNoParams(b []byte) []byte { return AppendMapHeader(AppendArrayHeader(b, 1), 0) }

// AppendDepositParams appends the params [handle, {name, keep}].
func AppendDepositParams(b []byte, handle Raw, name string, keep bool) []byte {
	w := beginOptions(append(AppendArrayHeader(b, 2), handle...))
	w.str("name", name)
	w.flag("keep", keep)
	return w.end()
}

// AppendOperationHead appends what stands before the args of one element of a batch.
func AppendOperationHead(b []byte, object ObjectName, op string) []byte {
	return AppendString(object.append(AppendArrayHeader(b, 3)), op)
}

// AppendBatchTail appends what stands behind the calls of a batch.
func AppendBatchTail(b []byte, owner uint64) []byte {
	w := beginOptions(b)
	w.uint("owner", owner)
	return w.end()
}

// ParseBatchAnswer reads one element of the answer to a batch. What it returns aliases r.
func ParseBatchAnswer(r Raw) (f *Fault, result Raw, err error) {
	c := cursor{b: r}
	if err = c.tuple(2, "an answer of a batch"); err != nil {
		return nil, nil, err
	}
	if !c.null() {
		if f, err = c.fault(); err != nil {
			return nil, nil, err
		}
	}
	if result, err = c.raw("a result"); err == nil {
		err = c.end("an answer of a batch")
	}
	return f, result, err
}

// An Attached is a manager's answer to create, attach and deposit.
type Attached struct {
	ID      uint64
	Kind    string
	Name    string
	Created bool
}

// ParseAttached reads the result of create, attach or deposit. What it returns shares nothing with r.
func ParseAttached(r Raw) (v Attached, err error) {
	c := cursor{b: r}
	if err = c.tuple(2, "an object"); err != nil {
		return v, err
	}
	if v.ID, err = c.id(); err != nil {
		return v, err
	}
	err = c.options("an object", func(key []byte) (_ bool, err error) {
		switch string(key) {
		case "kind":
			v.Kind, err = c.text("kind")
		case "name":
			v.Name, err = c.text("name")
		case "created":
			v.Created, err = c.flag("created")
		default:
			return false, nil
		}
		return true, err
	})
	if err == nil {
		err = c.end("an object")
	}
	return v, err
}

// A Description is what a manager tells about an object.
type Description struct {
	ID      uint64
	Kind    string
	Name    string
	Text    string // what is in it, as Python would print it; cut off
	Leases  int    // references that connections hold
	Stored  int    // references from within values
	Kept    bool   // by the manager itself
	Refs    int    // all of these
	Waiting int    // calls that wait on it
	Length  int    // elements; -1 for a kind that has none
}

// ParseDescription reads the result of describe. What it returns shares nothing with r.
func ParseDescription(r Raw) (Description, error) {
	c := cursor{b: r}
	v, err := c.description()
	if err == nil {
		err = c.end("a description")
	}
	return v, err
}

// ParseDescriptions reads the result of list.
func ParseDescriptions(r Raw) ([]Description, error) {
	c := cursor{b: r}
	n, err := c.list("the descriptions")
	if err != nil {
		return nil, err
	}
	all := make([]Description, n)
	for i := range all {
		if all[i], err = c.description(); err != nil {
			return nil, err
		}
	}
	return all, c.end("the descriptions")
}

func (c *cursor) description() (v Description, err error) {
	v.Length = -1
	err = c.options("a description", func(key []byte) (_ bool, err error) {
		switch string(key) {
		case "id":
			v.ID, err = c.uint("id")
		case "kind":
			v.Kind, err = c.text("kind")
		case "name":
			v.Name, err = c.text("name")
		case "text":
			v.Text, err = c.text("text")
		case "leases":
			v.Leases, err = c.count("leases")
		case "stored":
			v.Stored, err = c.count("stored")
		case "kept":
			v.Kept, err = c.flag("kept")
		case "refs":
			v.Refs, err = c.count("refs")
		case "waiting":
			v.Waiting, err = c.count("waiting")
		case "length":
			v.Length, err = c.count("length")
		default:
			return false, nil
		}
		return true, err
	})
	return v, err
}
