package ipc

// An operation is one that a kind of object has. It answers c or parks it.
type operation[T any] struct {
	least, most int // arguments
	do          func(t T, c *call)
}

// operate executes c.op of t.
func operate[T any](t T, c *call, ops map[string]operation[T]) {
	op, ok := ops[c.op]
	if !ok {
		c.unknown()
	} else if c.arity(op.least, op.most) {
		op.do(t, c)
	}
}
