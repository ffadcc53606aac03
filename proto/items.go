package proto

import (
	"encoding/binary"
	"fmt"
	"math"
)

// AppendItems appends the elements of a list one behind the other, without the header of an array. Numbers, strings and bytes
// are coded by hand; all else as Marshal does it, one by one. An element that cannot be encoded, or that holds a handle, is an
// error, which says which; b is returned with those before it, and done tells how many they are.
func AppendItems[T any](b []byte, items []T) (_ []byte, done int, err error) {
	switch list := any(items).(type) {
	case []int:
		for _, v := range list {
			b = AppendInt(b, int64(v))
		}
	case []int64:
		for _, v := range list {
			b = AppendInt(b, v)
		}
	case []int32:
		for _, v := range list {
			b = AppendInt(b, int64(v))
		}
	case []uint:
		for _, v := range list {
			b = AppendUint(b, uint64(v))
		}
	case []uint64:
		for _, v := range list {
			b = AppendUint(b, v)
		}
	case []uint32:
		for _, v := range list {
			b = AppendUint(b, uint64(v))
		}
	case []float64:
		for _, v := range list {
			b = binary.BigEndian.AppendUint64(append(b, codeFloat64), math.Float64bits(v))
		}
	case []string:
		for _, v := range list {
			b = AppendString(b, v)
		}
	case [][]byte:
		for _, v := range list {
			if v == nil {
				b = AppendNil(b)
			} else {
				b = AppendBin(b, v)
			}
		}
	default:
		return appendOthers(b, items)
	}
	return b, len(items), nil
}

func appendOthers[T any](b []byte, items []T) ([]byte, int, error) {
	for i := range items {
		p, err := Marshal(items[i])
		if err == nil && len(p.FDs) > 0 {
			return b, i, &ItemHandleError{FDs: p.FDs}
		}
		if err != nil {
			return b, i, fmt.Errorf("element %d: %w", i, err)
		}
		b = append(b, p.Bytes...)
	}
	return b, len(items), nil
}

// An ItemHandleError is the error of AppendItems for an element that holds handles; their descriptors are the caller's.
type ItemHandleError struct{ FDs []int }

func (e *ItemHandleError) Error() string { return "proto: a list of elements takes no handles" }

// ParseItems decodes elements that stand one behind the other, as many as into has; r has been scanned. What it returns shares
// nothing with r but byte slices, which alias it. The error says which element does not fit; those before it are there.
func ParseItems[T any](r Raw, into []T) (done int, err error) {
	return parseItems(&cursor{b: r}, into)
}

// parseItems reads on from where c is, and stops before the element that does not fit.
func parseItems[T any](c *cursor, into []T) (done int, err error) {
	switch list := any(into).(type) {
	case []int:
		return parseInts(c, list, math.MinInt, math.MaxInt)
	case []int64:
		return parseInts(c, list, math.MinInt64, math.MaxInt64)
	case []int32:
		return parseInts(c, list, math.MinInt32, math.MaxInt32)
	case []string:
		return parseEach(c, list, func(t token, b []byte) (string, bool) { return string(b), t.class == classStr })
	case [][]byte:
		return parseEach(c, list, bytesOf)
	case []float64:
		return parseEach(c, list, numberOf)
	}
	for i := range into {
		start := c.i
		raw, err := c.raw("an element")
		if err == nil {
			err = intoOne(raw, &into[i])
		}
		if err != nil {
			c.i = start
			return i, fmt.Errorf("element %d: %w", i, err)
		}
	}
	return len(into), nil
}

func bytesOf(t token, b []byte) ([]byte, bool) {
	if t.class == classNil {
		return nil, true
	}
	return b, t.class == classBin
}

func numberOf(t token, _ []byte) (float64, bool) {
	switch t.class {
	case classFloat64:
		return math.Float64frombits(t.bits), true
	case classFloat32:
		return float64(math.Float32frombits(uint32(t.bits))), true
	case classUint, classInt:
		return floatOf(t, 64)
	}
	return 0, false
}

func intoOne[T any](raw Raw, v *T) error {
	_, err := Unmarshal(Payload{Bytes: raw}, v, Limits{})
	return err
}

func parseInts[T int | int64 | int32](c *cursor, into []T, low, high int64) (int, error) {
	b, at := c.b, c.i
	for i := range into {
		rest := b[at:]
		var v int64
		switch {
		case len(rest) > 0 && rest[0] < codeFixMap:
			v, at = int64(rest[0]), at+1
		case len(rest) > 2 && rest[0] == codeUint16:
			v, at = int64(binary.BigEndian.Uint16(rest[1:])), at+3
		case len(rest) > 4 && rest[0] == codeUint32:
			v, at = int64(binary.BigEndian.Uint32(rest[1:])), at+5
		default: // the rest of them
			t, err := readToken(rest)
			v = int64(t.bits)
			if err == nil && (t.class != classInt && t.class != classUint || t.class == classUint && t.bits > math.MaxInt64) {
				v, err = 0, protocolf("expected an integer from %d to %d", low, high)
			}
			if err != nil {
				c.i = at
				return i, fmt.Errorf("element %d: %w", i, err)
			}
			at += t.head()
		}
		if v < low || v > high {
			c.i = len(b) - len(rest)
			return i, fmt.Errorf("element %d: %w", i, protocolf("expected an integer from %d to %d, found %d", low, high, v))
		}
		into[i] = T(v)
	}
	c.i = at
	return len(into), nil
}

// parseEach decodes elements that take one token each.
func parseEach[T any](c *cursor, into []T, of func(t token, content []byte) (T, bool)) (int, error) {
	for i := range into {
		t, err := c.peek()
		if err != nil {
			return i, fmt.Errorf("element %d: %w", i, err)
		}
		end := c.i + t.head()
		if t.class == classStr || t.class == classBin {
			end += t.n()
		}
		v, ok := of(t, c.b[c.i+t.head():end:end])
		if !ok {
			return i, fmt.Errorf("element %d: %w: expected a value for %T", i, ErrProtocol, v)
		}
		into[i] = v
		c.i = end
	}
	return len(into), nil
}
