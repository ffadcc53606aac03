package proto

import (
	"maps"
	"slices"
)

// A Greeting is a manager's answer to a client's Hello.
type Greeting struct {
	Version  int
	Instance uint64 // names the manager in references
	Auth     string // what proof is asked for; empty: none
	Nonce    []byte // of 32 bytes, with Auth
	Program  string
	Limits   map[string]uint64
}

// AuthHMAC is the proof by a key: see PROTOCOL.md, "auth".
const AuthHMAC = "hmac-sha256"

// AppendGreeting appends the result [version, {instance, …}].
func AppendGreeting(b []byte, v Greeting) []byte {
	b = AppendArrayHeader(b, 2)
	b = AppendInt(b, int64(v.Version))
	w := beginOptions(b)
	w.uint("instance", v.Instance)
	w.str("auth", v.Auth)
	if len(v.Nonce) > 0 {
		w.key("nonce")
		w.b = AppendBin(w.b, v.Nonce)
	}
	w.str("program", v.Program)
	if len(v.Limits) > 0 {
		w.key("limits")
		w.b = AppendMapHeader(w.b, len(v.Limits))
		for _, name := range slices.Sorted(maps.Keys(v.Limits)) {
			w.b = AppendUint(AppendString(w.b, name), v.Limits[name])
		}
	}
	return w.end()
}

// ParseGreeting reads the result of a client's Hello. What it returns shares nothing with r.
func ParseGreeting(r Raw) (v Greeting, err error) {
	c := cursor{b: r}
	if err = c.tuple(2, "the answer to hello"); err != nil {
		return v, err
	}
	if v.Version, err = c.count("the version"); err != nil {
		return v, err
	}
	err = c.options("the answer to hello", func(key []byte) (_ bool, err error) {
		switch string(key) {
		case "instance":
			v.Instance, err = c.uint("instance")
		case "auth":
			v.Auth, err = c.text("auth")
		case "nonce":
			var s []byte
			_, s, err = c.take(classBin, "nonce")
			v.Nonce = append([]byte(nil), s...)
		case "program":
			v.Program, err = c.text("program")
		case "limits":
			v.Limits, err = c.limits()
		default:
			return false, nil
		}
		return true, err
	})
	if err == nil {
		err = c.end("the answer to hello")
	}
	if err == nil && v.Instance == 0 {
		err = protocolf("the answer to hello names no instance")
	}
	return v, err
}

func (c *cursor) limits() (map[string]uint64, error) {
	limits := map[string]uint64{}
	return limits, c.options("the limits", func(key []byte) (_ bool, err error) {
		limits[string(key)], err = c.uint("a limit")
		return true, err
	})
}
