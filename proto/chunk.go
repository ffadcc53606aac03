package proto

import (
	"errors"
	"fmt"
)

// A run of a chunk (option chunk of a run) has as its argument an array of so many elements, and as its result an array of two:
// a map from the index of each element that has failed to its fault, or nil if none has; and an array of the results, with nil
// in the place of those.

// AppendChunk appends the result of a chunk. An element of results that cannot be encoded becomes one of faults, with the kind
// KindResult. One that holds handles is an *ItemHandleError: such elements run one by one.
func AppendChunk[T any](b []byte, results []T, faults map[int]*Fault) ([]byte, error) {
	var values []byte
	for i := 0; i < len(results); i++ {
		next := i
		for next < len(results) && faults[next] == nil {
			next++
		}
		more, done, err := AppendItems(values, results[i:next])
		values, i = more, i+done
		if held, ok := errors.AsType[*ItemHandleError](err); ok {
			return b, held
		}
		if err != nil {
			if faults == nil {
				faults = map[int]*Fault{}
			}
			faults[i] = &Fault{Kind: KindResult, Text: fmt.Sprintf("result: %v", err)}
		}
		if i < len(results) {
			values = AppendNil(values)
		}
	}
	b = AppendArrayHeader(b, 2)
	if len(faults) == 0 {
		b = AppendNil(b)
	} else {
		b = AppendMapHeader(b, len(faults))
		for i, f := range faults {
			b = AppendFault(AppendUint(b, uint64(i)), f)
		}
	}
	return append(AppendArrayHeader(b, len(results)), values...), nil
}

// ParseChunk reads the result of a chunk of len(results) elements; r has been scanned. errs are the errors by index: a *Fault
// from the far side, or why the result does not fit.
func ParseChunk[T any](r Raw, results []T) (errs map[int]error, err error) {
	c := cursor{b: r}
	if err := c.tuple(2, "the result of a chunk"); err != nil {
		return nil, err
	}
	if !c.null() {
		if errs, err = c.faults(len(results)); err != nil {
			return nil, err
		}
	}
	n, err := c.list("the results of a chunk")
	if err != nil {
		return nil, err
	}
	if n != len(results) {
		return nil, protocolf("a chunk of %d elements has %d results", len(results), n)
	}
	for i := 0; i < n; i++ {
		next := i
		for next < n && errs[next] == nil {
			next++
		}
		done, err := parseItems(&c, results[i:next])
		i += done
		if err != nil {
			if errs == nil {
				errs = map[int]error{}
			}
			errs[i] = fmt.Errorf("result: %w", err)
		}
		if i < n {
			if err := c.skip(); err != nil {
				return nil, err
			}
		}
	}
	return errs, c.end("the result of a chunk")
}

// faults reads those of a chunk of n elements.
func (c *cursor) faults(n int) (map[int]error, error) {
	count, err := c.dict("the faults of a chunk")
	if err != nil {
		return nil, err
	}
	errs := make(map[int]error, min(count, n))
	for range count {
		i, err := c.count("the index of a fault")
		if err != nil {
			return nil, err
		}
		if i >= n {
			return nil, protocolf("fault of element %d in a chunk of %d", i, n)
		}
		f, err := c.fault()
		if err != nil {
			return nil, err
		}
		errs[i] = f
	}
	return errs, nil
}

// ParseArray reads an array of just len(into) elements; r has been scanned. For the elements see ParseItems.
func ParseArray[T any](r Raw, into []T) error {
	c := cursor{b: r}
	n, err := c.list("a list of elements")
	if err == nil && n != len(into) {
		err = protocolf("expected %d elements, found %d", len(into), n)
	}
	if err == nil {
		_, err = parseItems(&c, into)
	}
	if err == nil {
		err = c.end("a list of elements")
	}
	return err
}
