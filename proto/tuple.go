package proto

// Sequences of other languages that Go has no types for. Decoded into an interface they come
// as these; a Go slice or array takes a tuple too, and a slice a set.
type (
	// A Tuple is a sequence that does not change: extension ExtTuple. A nil Tuple is nil.
	Tuple []any
	// A Set has each value once, in no order: extension ExtSet. Marshal returns
	// ErrUnsupported for one with an element twice, or one that cannot be a key. A nil Set is nil.
	Set []any
	// A FrozenSet is a Set that does not change, and so can be a key: extension ExtFrozenSet.
	FrozenSet []any
)
