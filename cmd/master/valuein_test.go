package main

import (
	"encoding/hex"
	"encoding/json"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/seed-185a7250/multiproc/proto"
)

// byNumber finds objects of manager 9 by their ids, and none by name.
func byNumber(n *node) (proto.Ref, error) {
	if n.kind != numberNode {
		return proto.Ref{}, usageError("no object is called %s", n.text)
	}
	return proto.Ref{Instance: 9, ID: uint64(len(n.text))}, nil
}

// encoded is a value in JSON as the bytes that are sent.
func encoded(t *testing.T, text string) proto.Raw {
	t.Helper()
	v, err := readValue("VALUE", text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	b, err := v.encode(nil, byNumber)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return b
}

// What is written reads back as the same bytes, and comes out as it went in.
func TestValueForms(t *testing.T) {
	for text, want := range map[string]string{
		`null`:                                  "c0",
		`true`:                                  "c3",
		`1`:                                     "01",
		`-1`:                                    "ff",
		`1.0`:                                   "cb3ff0000000000000",
		`-0.0`:                                  "cb8000000000000000",
		`18446744073709551615`:                  "cfffffffffffffffff",
		`18446744073709551616`:                  "c70905010000000000000000",
		`-9223372036854775809`:                  "c70905ff7fffffffffffffff",
		`"a<b>&"`:                               "a5613c623e26",
		`[1,[]]`:                                "920190",
		`{"b":1,"a":2}`:                         "82a16201a16102",
		`{"$base64":"AP8="}`:                    "c40200ff",
		`{"$float":"nan"}`:                      "cb7ff8000000000001",
		`{"$float":"-inf"}`:                     "cbfff0000000000000",
		`{"$tuple":[1,2]}`:                      "c70302920102",
		`{"$set":[1,2]}`:                        "c70303920102",
		`{"$frozenset":[1,2]}`:                  "c70304920102",
		`{"$map":[[1,"a"]]}`:                    "8101a161",
		`{"$map":[["$a",1]]}`:                   "81a2246101",
		`{"$map":[]}`:                           "80",
		`{"$slice":[1,null,2]}`:                 "d6069301c002",
		`{"$ref":7}`:                            "d80700000000000000090000000000000001",
		`{"$ref":[1,7]}`:                        "d80700000000000000010000000000000007",
		`{"$complex":[1.0,2.0]}`:                "d80a3ff00000000000004000000000000000",
		`{"$complex":[{"$float":"inf"},0.5]}`:   "d80a7ff00000000000003fe0000000000000",
		`{"$time":"2001-09-09T01:46:40Z"}`:      "d6ff3b9aca00",
		`{"$str":{"$base64":"/w=="}}`:           "a1ff",
		`{"$ext":[8,{"$base64":"k6FhoWKA"}]}`:   "c7060893a161a16280",
		`{"$ext":[100,{"$base64":"AA=="}]}`:     "d46400",
		`{"$tuple":[{"$set":[{"$tuple":[]}]}]}`: "c70702 91 d603 91 d40290",
	} {
		got := hex.EncodeToString(encoded(t, text))
		if got != strings.ReplaceAll(want, " ", "") {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
		back := string(appendJSON(nil, encoded(t, text), 9))
		if text == `{"$map":[]}` {
			text = "{}" // the same
		}
		if text == `{"$ref":7}` {
			text = `{"$ref":1}` // what byNumber makes of it
		}
		if back != text {
			t.Errorf("%s came out as %s", text, back)
		}
	}
	if got := hex.EncodeToString(encoded(t, `{"$bin":"00ff"}`)); got != "c40200ff" {
		t.Errorf("$bin: got %s", got)
	}
}

func TestBadValues(t *testing.T) {
	for text, want := range map[string]string{
		`Anna`:                          `VALUE:1:1: found "Anna"; expected a value in JSON; strings stand in double quotes, or use -s`,
		``:                              `VALUE:1:1: empty; expected a value in JSON`,
		`01`:                            `VALUE:1:2: found "1" after the value; expected the end of it`,
		`1 2`:                           `VALUE:1:3: found "2" after the value; expected the end of it`,
		`[1`:                            `VALUE:1:3: it ends too early; expected "," or "]"`,
		`{"a":1,"a":2}`:                 `VALUE:1:8: key "a" again; the first is at VALUE:1:2`,
		"\xff":                          `VALUE:1:1: byte 0xff is not UTF-8; expected JSON text in UTF-8; strings stand in double quotes, or use -s`,
		`1e999`:                         `VALUE:1:1: number 1e999 is too large for a float; expected at most 1.7976931348623157e+308, or {"$float": "inf"}`,
		`{"$tupel":[]}`:                 `VALUE:1:2: unknown form "$tupel"; expected "$base64", "$bin", "$complex", "$ext", "$float", "$frozenset", "$map", "$ref", "$set", "$slice", "$str", "$time" or "$tuple"; did you mean "$tuple"?; a map with such a key is {"$map": [["$tupel", …]]}`,
		`{"$tuple":1}`:                  `VALUE:1:11: found number 1; expected a list of its elements`,
		`{"$base64":"_"}`:               `VALUE:1:12: found string "_"; expected a string of base64`,
		`{"$bin":"0"}`:                  `VALUE:1:9: found string "0"; expected a string of hex`,
		`{"$float":"one"}`:              `VALUE:1:11: found string "one"; expected "nan", "inf" or "-inf"`,
		`{"$map":{}}`:                   `VALUE:1:9: found an object; expected a list of pairs [key, value]`,
		`{"$map":[[1]]}`:                `VALUE:1:10: found a list; expected a pair [key, value]`,
		`{"$set":[1,1.0]}`:              `VALUE:1:12: number 1.0 is in the set twice`,
		`{"$set":[[]]}`:                 `VALUE:1:10: found a list; expected what can be an element of a set: a scalar, or a tuple or frozen set of scalars`,
		`{"$time":"today"}`:             `VALUE:1:10: found string "today"; expected a time such as "2006-01-02T15:04:05Z"`,
		`{"$complex":[1]}`:              `VALUE:1:13: found a list; expected [real, imaginary]`,
		`{"$slice":[1,2]}`:              `VALUE:1:11: found a list; expected [start, stop, step]`,
		`{"$ref":null}`:                 `VALUE:1:9: found null; expected the name or the id of an object, or [instance, id]`,
		`{"$ref":[1,-1]}`:               `VALUE:1:12: found number -1; expected an integer ≥ 0`,
		`{"$str":"a"}`:                  `VALUE:1:9: found string "a"; expected bytes, {"$base64": "…"}`,
		`{"$ext":[1,{"$base64":""}]}`:   `VALUE:1:10: found number 1; expected the code of an extension other than a handle, from -128 to 127`,
		`{"$ext":[200,{"$base64":""}]}`: `VALUE:1:10: found number 200; expected the code of an extension other than a handle, from -128 to 127`,
	} {
		_, err := readValue("VALUE", text)
		if ue, ok := err.(*UsageError); !ok || ue.Text != want {
			t.Errorf("%s\n got: %v\nwant: %s", text, err, want)
		}
	}
}

// Whatever a manager gives, what is printed of it is JSON on one line, and reads back as an equal value.
func TestValuesComeBack(t *testing.T) {
	text, err := os.ReadFile("../../proto/testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct{ Values []struct{ Hex string } }
	if err := json.Unmarshal(text, &golden); err != nil || len(golden.Values) == 0 {
		t.Fatalf("%d values, %v", len(golden.Values), err)
	}
	values := make([]proto.Raw, 0, 1000)
	for _, g := range golden.Values {
		b, err := hex.DecodeString(g.Hex)
		if err != nil {
			t.Fatal(err)
		}
		values = append(values, b)
	}
	for range 500 { // golden values in each other
		values = append(values, randomValue(values[:len(golden.Values)], 4))
	}
	for _, v := range values {
		line := string(appendJSON(nil, v, 9))
		switch {
		case !json.Valid([]byte(line)) || strings.Contains(line, "\n"):
			t.Errorf("%x: %s is not JSON on one line", v, line)
		case strings.Contains(line, "nan") || strings.Contains(line, `"$ref"`) || strings.Contains(line, `"$type"`):
			// equal to nothing; resolved anew; not a value
		default:
			if back := encoded(t, line); !proto.Equal(v, back) {
				t.Errorf("%x: printed as %s, which is %x", v, line, back)
			}
		}
	}
}

// randomValue is an array, a tuple or a map of values.
func randomValue(scalars []proto.Raw, depth int) proto.Raw {
	pick := func() proto.Raw {
		if depth > 0 && rand.IntN(3) == 0 {
			return randomValue(scalars, depth-1)
		}
		return scalars[rand.IntN(len(scalars))]
	}
	n := rand.IntN(4)
	b := proto.AppendArrayHeader(nil, n)
	if kind := rand.IntN(3); kind == 0 {
		b = proto.AppendMapHeader(nil, n)
		for i := range n {
			b = append(proto.AppendInt(b, int64(i)), pick()...)
		}
		return b
	} else {
		for range n {
			b = append(b, pick()...)
		}
		if kind == 1 {
			return append(proto.AppendExtHeader(nil, proto.ExtTuple, len(b)), b...)
		}
	}
	return b
}
