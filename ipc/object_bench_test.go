package ipc

import (
	"testing"

	"github.com/seed-185a7250/multiproc/proto"
)

// What the operations cost within the server: no connection, no frame.
func BenchmarkOperation(b *testing.B) {
	for _, c := range []struct {
		kind, op string
		args     []any
	}{
		{"dict", "get", []any{"key500"}}, {"dict", "set", []any{"key500", "a value of some length"}}, {"dict", "add", []any{"n", 1}},
		{"dict", "cas", []any{"key500", 1, 2}}, {"list", "get", []any{500}}, {"list", "set", []any{500, "a value of some length"}},
		{"list", "push_trim", []any{"a value of some length", 1000}}, {"namespace", "get", []any{"key500"}}, {"array", "add", []any{500, 1}},
	} {
		b.Run(c.kind+" "+c.op, func(b *testing.B) {
			m, err := NewManager(ManagerOptions{})
			if err != nil {
				b.Fatal(err)
			}
			defer m.Close()
			s := &session{m: m, memory: &account{}, dirty: true, ops: map[string]string{}, leases: map[*object]int{}}
			o, err := m.create(&call{m: m, s: s, args: benchArgs(b, c.kind)}, c.kind, "")
			if err != nil {
				b.Fatal(err)
			}
			args := raws(b, c.args...)
			one := &call{}
			b.ReportAllocs()
			for b.Loop() {
				*one = call{m: m, s: s, id: 7, obj: o, op: c.op, args: args, lent: one.lent[:0]}
				o.thing.call(one)
				s.out = s.out[:0]
			}
		})
	}
}

func raws(b *testing.B, vs ...any) (all []proto.Raw) {
	for _, v := range vs {
		p, err := proto.Marshal(v)
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, p.Bytes)
	}
	return all
}

// benchArgs make an object of 1,000 elements.
func benchArgs(b *testing.B, kind string) []proto.Raw {
	named, many := map[string]any{"n": 0}, []any{}
	for i := range 1000 {
		named["key"+string(rune('0'+i/100))+string(rune('0'+i/10%10))+string(rune('0'+i%10))] = i
		many = append(many, i)
	}
	switch kind {
	case "list":
		return raws(b, many)
	case "array":
		return raws(b, "q", many)
	}
	return raws(b, named)
}
