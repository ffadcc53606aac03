package main

import (
	"encoding/base64"
	"fmt"
	"math"
	"math/big"
	"time"
	"unicode/utf8"

	"github.com/seed-185a7250/multiproc/ipc"
	"github.com/seed-185a7250/multiproc/proto"
)

// decoded turns what a worker sent into a value for a Record. It takes the payload over: a lock or a file that comes with it is of no
// use to a line of text. What cannot be decoded is shown as bytes.
func decoded(p proto.Payload) any {
	if len(p.Bytes) == 0 {
		return nil
	}
	var v any
	left, err := proto.Unmarshal(p, &v, proto.Limits{})
	ipc.CloseFDs(left)
	if err != nil {
		return []byte(p.Bytes)
	}
	return v
}

// jsonable turns a decoded MessagePack value into one that JSON can write without loss where that is possible, and without an
// error in any case: a value must not cost a ticket its line.
//
//   - bytes, and strings that are not UTF-8, become {"$base64": "…"}, so that they cannot be taken for text;
//   - NaN and the infinities become the strings "NaN", "Infinity" and "-Infinity";
//   - keys that are no strings are written as text: {1: "a"} becomes {"1": "a"}; where two keys would then be
//     the same, the map becomes a list of [key, value] pairs;
//   - tuples and sets become lists, and integers of any size numbers;
//   - times become RFC 3339 strings, and all other extensions {"$ext": [code, {"$base64": "…"}]};
//   - anything else, such as a lock that was returned, becomes {"$type": "its Go type"}.
func jsonable(v any) any {
	switch v := v.(type) {
	case nil, bool, int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64:
		return v
	case float32:
		return jsonFloat(float64(v), v)
	case float64:
		return jsonFloat(v, v)
	case string:
		if !utf8.ValidString(v) {
			return jsonBytes([]byte(v))
		}
		return v
	case []byte:
		return jsonBytes(v)
	case time.Time:
		return v.Format(time.RFC3339Nano) // its own MarshalJSON refuses the year 10000
	case proto.Ext:
		return map[string]any{"$ext": []any{v.Code, jsonBytes(v.Data)}}
	case complex128, proto.Slice, proto.Ref, *proto.Fault, proto.Opaque:
		return jsonExt(v)
	case *big.Int:
		return v
	case []any:
		return jsonList(v)
	case proto.Tuple:
		return jsonList(v)
	case proto.Set:
		return jsonList(v)
	case proto.FrozenSet:
		return jsonList(v)
	case map[string]any:
		return jsonObject(v)
	case map[any]any:
		return jsonMap(v)
	}
	return map[string]any{"$type": fmt.Sprintf("%T", v)}
}

// jsonFloat keeps v as it is when JSON has a number for it, so that a float32 stays short.
func jsonFloat(f float64, v any) any {
	switch {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	}
	return v
}

// jsonExt shows a value that travels as an extension as that extension.
func jsonExt(v any) any {
	var x proto.Ext
	p, err := proto.Marshal(v)
	if err == nil {
		_, err = proto.Unmarshal(p, &x, proto.Limits{})
	}
	if err != nil {
		return map[string]any{"$type": fmt.Sprintf("%T", v)}
	}
	return jsonable(x)
}

func jsonBytes(b []byte) any {
	return map[string]any{"$base64": base64.StdEncoding.EncodeToString(b)}
}

func jsonList(list []any) any {
	out := make([]any, len(list))
	for i, item := range list {
		out[i] = jsonable(item)
	}
	return out
}

func jsonObject(m map[string]any) any {
	out := make(map[string]any, len(m))
	for key, item := range m {
		if !utf8.ValidString(key) { // encoding/json would make two such keys one
			return jsonPairs(m)
		}
		out[key] = jsonable(item)
	}
	return out
}

func jsonMap(m map[any]any) any {
	out := make(map[string]any, len(m))
	for key, item := range m {
		text := fmt.Sprint(jsonable(key))
		if _, twice := out[text]; twice || !utf8.ValidString(text) {
			return jsonPairs(m)
		}
		out[text] = jsonable(item)
	}
	return out
}

func jsonPairs[K comparable](m map[K]any) any {
	pairs := make([]any, 0, len(m))
	for key, item := range m {
		pairs = append(pairs, []any{jsonable(any(key)), jsonable(item)})
	}
	return pairs
}
