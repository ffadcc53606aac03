package proto

import "fmt"

// TypeName says what the scanned value v is, for messages to people: "a str", "an integer",
// "a tuple".
func TypeName(v Raw) string {
	t, _, ok := one(v)
	if !ok {
		return "nothing"
	}
	return t.name()
}

func (t token) name() string {
	if t.class == classExt {
		return extName(t.ext)
	}
	return className(t.class)
}

func className(c class) string {
	return [...]string{"nil", "a bool", "an integer", "an integer", "a float", "a float", "a str", "a bin", "an array", "a map", "an extension"}[c]
}

// extName says what an extension of this code is.
func extName(code int8) string {
	switch code {
	case ExtTime:
		return "a time"
	case ExtHandle:
		return "a handle"
	case ExtTuple:
		return "a tuple"
	case ExtSet:
		return "a set"
	case ExtFrozenSet:
		return "a frozen set"
	case ExtBigInt:
		return "an integer"
	case ExtSlice:
		return "a slice"
	case ExtObject:
		return "a reference"
	case ExtError:
		return "an error"
	case ExtBlob:
		return "an opaque blob"
	case ExtComplex:
		return "a complex number"
	}
	return fmt.Sprintf("an extension of code %d", code)
}
