package ipc

import (
	"cmp"
	"slices"

	"github.com/seed-185a7250/multiproc/proto"
)

// dump and restore are for a journal. The state of a table is an array: version, forgotten,
// shape, and for each entry in order its key, value and version. Removals are forgotten. The shape
// is another one if there are holes, which do not come back: a scan must not go on behind them.
func (t *table) dump(b []byte) []byte {
	b = proto.AppendArrayHeader(b, 3+3*t.n)
	b = proto.AppendUint(b, t.version)
	forgotten := t.forgotten
	if e := t.removed.newest; e != nil {
		forgotten = max(forgotten, e.version)
	}
	b = proto.AppendUint(b, forgotten)
	shape := t.shape
	if len(t.order) > t.n {
		shape++
	}
	b = proto.AppendUint(b, shape)
	for e := range t.each {
		b = append(append(b, e.key.raw...), e.value.raw...)
		b = proto.AppendUint(b, e.version)
	}
	return b
}

func (t *table) restore(c *call) {
	if c.s != nil {
		c.unknown()
		return
	}
	parts, err := proto.Elements(c.args[0], nil)
	if err == nil && len(parts)%3 != 0 {
		err = faultf(proto.KindArguments, "the state of a %s has %d parts", c.obj.kind, len(parts))
	}
	if err == nil {
		err = t.refill(c, parts)
	}
	if err != nil {
		c.fail(err)
	}
}

func (t *table) refill(c *call, parts []proto.Raw) error {
	t.drop(c.m)
	*t = newTable()
	for i := 3; i < len(parts); i += 3 {
		canon, err := t.canon(parts[i])
		if err != nil {
			return err
		}
		e, err := t.put(c, nil, canon, parts[i], parts[i+1])
		if err != nil {
			return err
		}
		if e.version, err = proto.ParseUint(parts[i+2]); err != nil {
			return err
		}
	}
	t.byAge()
	for i, n := range []*uint64{&t.version, &t.forgotten, &t.shape} {
		var err error
		if *n, err = proto.ParseUint(parts[i]); err != nil {
			return err
		}
	}
	return nil
}

// byAge puts past in the order of the versions.
func (t *table) byAge() {
	all := slices.Collect(t.each)
	slices.SortFunc(all, func(a, b *entry) int { return cmp.Compare(a.version, b.version) })
	t.past = history{}
	for _, e := range all {
		t.past.push(e)
	}
}
