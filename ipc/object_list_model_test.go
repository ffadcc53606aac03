package ipc

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/seed-185a7250/multiproc/proto"
)

// wantedList is a list of Python, written in the plainest way: a slice expression is walked index by
// index, as the reference says.
type wantedList []int64

// walk returns the indices that a slice means.
func (l wantedList) walk(s proto.Slice) (at []int) {
	n, step := len(l), 1
	if s.Step != nil {
		step = int(*s.Step)
	}
	start, stop := 0, n
	if step < 0 {
		start, stop = n-1, -n-1
	}
	if s.Start != nil {
		start = int(*s.Start)
		if start < 0 {
			start += n
		}
	}
	if s.Stop != nil {
		stop = int(*s.Stop)
		if stop < 0 {
			stop += n
		}
	} else if step < 0 {
		stop = -1
	}
	if step > 0 {
		for i := max(start, 0); i < min(stop, n); i += step {
			at = append(at, i)
		}
	} else {
		for i := min(start, n-1); i > max(stop, -1); i += step {
			at = append(at, i)
		}
	}
	return at
}

func (l wantedList) get(s proto.Slice) wantedList {
	out := wantedList{}
	for _, i := range l.walk(s) {
		out = append(out, l[i])
	}
	return out
}

func (l wantedList) del(s proto.Slice) wantedList {
	out, gone := wantedList{}, l.walk(s)
	for i, v := range l {
		if !slices.Contains(gone, i) {
			out = append(out, v)
		}
	}
	return out
}

func (l wantedList) set(s proto.Slice, vs []int64) (wantedList, bool) {
	at := l.walk(s)
	if s.Step != nil && *s.Step != 1 {
		if len(at) != len(vs) {
			return l, false
		}
		out := slices.Clone(l)
		for k, i := range at {
			out[i] = vs[k]
		}
		return out, true
	}
	i := 0
	if s.Start != nil {
		if i = int(*s.Start); i < 0 {
			i = max(i+len(l), 0)
		}
		i = min(i, len(l))
	}
	return slices.Concat(l[:i], vs, l[i+len(at):]), true
}

func (l wantedList) values() []any {
	all := []any{}
	for _, v := range l {
		all = append(all, v)
	}
	return all
}

// A list does under any operations what the plain one does.
func TestListModel(t *testing.T) {
	checkLeaks(t)
	m, path := newTestManager(t, ManagerOptions{})
	a := dialManager(t, path)
	for seed := range uint64(4) {
		r := rand.New(rand.NewPCG(seed, 1))
		id, model := a.create("list"), wantedList{}
		for step := range 600 {
			op := listStep(t, a, r, id, &model)
			if got := a.call(id, "copy"); fmt.Sprint(got) != fmt.Sprint(model.values()) {
				t.Fatalf("seed %d, step %d, %s: %v, want %v", seed, step, op, got, model)
			}
		}
		a.decref(id)
	}
	endsClean(t, m, a)
}

// anySlice is around a list of n elements.
func anySlice(r *rand.Rand, n int) proto.Slice {
	part := func(least, most int) any {
		if r.IntN(4) == 0 {
			return nil
		}
		return least + r.IntN(most-least+1)
	}
	step := part(-3, 3)
	if step == 0 {
		step = 1
	}
	return slice(part(-n-2, n+2), part(-n-2, n+2), step)
}

func listStep(t *testing.T, a *foreign, r *rand.Rand, id int64, model *wantedList) string {
	t.Helper()
	l := *model
	n, x := len(l), int64(r.IntN(10))
	at := r.IntN(2*n+4) - n - 2
	in := at >= -n && at < n
	i := (at + n) % max(n, 1)
	near := clampIndex(at, n)
	try := func(fault, op string, ok bool, args ...any) any {
		v, err := a.do(proto.MethodCall, id, op, list(args), none)
		f, _ := errors.AsType[*proto.Fault](err)
		if ok != (err == nil) || f != nil && f.Kind != fault {
			t.Fatalf("%s%v of %v: %v, %v", op, args, l, v, err)
		}
		return v
	}
	s, vs := anySlice(r, n), make([]int64, r.IntN(4))
	for k := range vs {
		vs[k] = int64(r.IntN(10))
	}
	switch what := r.IntN(17); what {
	case 0, 1, 2:
		try("", "append", true, x)
		*model = append(l, x)
		return "append"
	case 3:
		try("", "insert", true, at, x)
		*model = slices.Insert(slices.Clone(l), near, x)
		return "insert"
	case 4:
		got := try(proto.KindIndexError, "pop", in, at)
		if in {
			want(t, got, l[i])
			*model = slices.Delete(slices.Clone(l), i, i+1)
		}
		return "pop"
	case 5:
		if got := try(proto.KindIndexError, "pop", n > 0, 0); n > 0 {
			want(t, got, l[0])
			*model = l[1:]
		}
		return "pop 0"
	case 6:
		if try(proto.KindIndexError, "set", in, at, x); in {
			*model = slices.Clone(l)
			(*model)[i] = x
		}
		return "set"
	case 7:
		want(t, try("", "get", true, s), l.get(s).values())
		return "get slice"
	case 8:
		next, ok := l.set(s, vs)
		try(proto.KindValueError, "set", ok, s, vs)
		*model = next
		return fmt.Sprint("set slice", vs)
	case 9:
		try("", "delete", true, s)
		*model = l.del(s)
		return "delete slice"
	case 10:
		k := slices.Index(l, x)
		if try(proto.KindValueError, "remove", k >= 0, x); k >= 0 {
			*model = slices.Delete(slices.Clone(l), k, k+1)
		}
		return "remove"
	case 11:
		*model = slices.Clone(l)
		slices.Reverse(*model)
		try("", "reverse", true)
		return "reverse"
	case 12:
		*model = slices.Sorted(slices.Values(l))
		if down := r.IntN(2) == 0; down {
			slices.Reverse(*model)
			try("", "sort", true, true)
		} else {
			try("", "sort", true)
		}
		return "sort"
	case 13:
		if n > 60 {
			try("", "clear", true)
			*model = wantedList{}
			return "clear"
		}
		k := r.IntN(4) - 1
		try("", "imul", true, k)
		*model = slices.Repeat(l, max(k, 0))
		return "imul"
	case 14:
		most := r.IntN(20)
		all := append(slices.Clone(l), x)
		cut := max(len(all)-most, 0)
		want(t, try("", "push_trim", true, x, most), all[:cut].values())
		*model = all[cut:]
		return "push_trim"
	case 15:
		to := r.IntN(2*n+4) - n - 2
		if got := try(proto.KindIndexError, "move", in, id, at, to); in {
			want(t, got, l[i])
			rest := slices.Delete(slices.Clone(l), i, i+1)
			*model = slices.Insert(rest, clampIndex(to, len(rest)), l[i])
		}
		return "move"
	default:
		try("", "extend", true, vs)
		*model = append(slices.Clone(l), vs...)
		return "extend"
	}
}

// pythonSlices prints the outcome of every slice of small lists: what is got, what is left, and
// what a list is with two elements in the place of the slice.
const pythonSlices = `
import itertools
parts = [None] + list(range(-5, 6)) + [-10**30, 10**30]
for n in range(5):
    for a, b, c in itertools.product(parts, parts, [None, -10**30, -3, -2, -1, 1, 2, 3, 10**30]):
        s = slice(a, b, c)
        x = list(range(n)); y = list(range(n)); z = list(range(n))
        del y[s]
        try:
            z[s] = [8, 9]
        except ValueError:
            z = ["ValueError"]
        print(n, len(x[s]), *x[s], len(y), *y, *z)
`

// Slices are those of Python itself, for all there are of short lists.
func TestListSlicesOfPython(t *testing.T) {
	out, err := exec.Command("python3", "-c", pythonSlices).Output()
	if err != nil {
		t.Skipf("NOT COMPARED with Python: no python3 here (%v)", err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	var parts, steps []*int64
	for v := int64(-5); v <= 5; v++ {
		parts = append(parts, &v)
	}
	least, most := int64(-1<<63), int64(1<<63-1)
	parts = slices.Concat([]*int64{nil}, parts, []*int64{&least, &most})
	steps = []*int64{nil, &least, parts[3], parts[4], parts[5], parts[7], parts[8], parts[9], &most}
	k := 0
	for n := range 5 {
		for _, a := range parts {
			for _, b := range parts {
				for _, c := range steps {
					if got := ourSlice(n, proto.Slice{Start: a, Stop: b, Step: c}); got != lines[k] {
						t.Fatalf("line %d: %s, want %s", k, got, lines[k])
					}
					k++
				}
			}
		}
	}
	want(t, k, len(lines))
}

func ourSlice(n int, s proto.Slice) string {
	fresh := func(n int) (l managedList) {
		for i := range n {
			l.add(i, value{raw: proto.Raw{byte(i)}})
		}
		return l
	}
	text := func(vs []value) (all []string) {
		for _, v := range vs {
			all = append(all, fmt.Sprint(v.raw[0]))
		}
		return all
	}
	x, y, z := fresh(n), fresh(n), fresh(n)
	sp := indices(s, n)
	y.cut(sp)
	two := []value{{raw: proto.Raw{8}}, {raw: proto.Raw{9}}}
	after := []string{"ValueError"}
	switch {
	case sp.step == 1:
		z.splice(sp.start, sp.stop(), two)
		after = text(z.items)
	case sp.n == 2:
		z.items[sp.start], z.items[sp.start+sp.step] = two[0], two[1]
		after = text(z.items)
	}
	got := slices.Concat([]string{fmt.Sprint(n), fmt.Sprint(sp.n)}, text(x.pick(sp)), []string{fmt.Sprint(len(y.items))}, text(y.items), after)
	return strings.Join(got, " ")
}
