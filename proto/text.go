package proto

import (
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// AppendText appends the scanned value v as text for people, in at most limit bytes; what does
// not fit is cut off, with … in its place. It looks like repr of Python:
//
//	{'a': [1, 2.5, None, True, b'\x00'], (1,): 'x'}
//
// What Python has no literal for stands in angle brackets, such as <reference 7>. It never fails.
func AppendText(dst []byte, v Raw, limit int) []byte {
	if limit <= 0 {
		return dst
	}
	p := printer{cursor: cursor{b: v}, out: dst, limit: len(dst) + limit}
	p.value(maxDepth)
	if len(p.out) <= p.limit {
		return p.out
	}
	const more = "…"
	end := p.limit - len(more)
	for end > len(dst) && !utf8.RuneStart(p.out[end]) {
		end--
	}
	if end < len(dst) { // not even room for the sign
		return append(dst, "..."[:limit]...)
	}
	return append(p.out[:end], more...)
}

// A printer writes values one after the other, and stops once it is beyond its limit.
type printer struct {
	cursor
	out   []byte
	limit int // of len(out)
}

func (p *printer) full() bool { return len(p.out) > p.limit }

func (p *printer) text(s ...string) {
	for _, s := range s {
		p.out = append(p.out, s[:min(len(s), max(p.limit+utf8.UTFMax-len(p.out), 0))]...)
	}
}

func (p *printer) value(depth int) {
	t, content, ok := p.next()
	if !ok || depth == 0 {
		p.text("…")
		p.i = len(p.b)
		return
	}
	switch t.class {
	case classNil:
		p.text("None")
	case classBool:
		p.text([]string{"False", "True"}[t.bits])
	case classUint:
		p.out = strconv.AppendUint(p.out, t.bits, 10)
	case classInt:
		p.out = strconv.AppendInt(p.out, int64(t.bits), 10)
	case classFloat32:
		p.text(floatText(t.float(), 32, ".0"))
	case classFloat64:
		p.text(floatText(t.float(), 64, ".0"))
	case classStr:
		p.quote(content, false)
	case classBin:
		p.text("b")
		p.quote(content, true)
	case classArray:
		p.list("[", t.n(), "]", depth)
	case classMap:
		p.dict(t.n(), depth)
	case classExt:
		p.ext(t.ext, content, depth)
	}
}

// list writes n values between two brackets.
func (p *printer) list(open string, n int, end string, depth int) {
	p.text(open)
	for i := 0; i < n && !p.full(); i++ {
		if i > 0 {
			p.text(", ")
		}
		p.value(depth - 1)
	}
	p.text(end)
}

func (p *printer) dict(n, depth int) {
	p.text("{")
	for i := 0; i < n && !p.full(); i++ {
		if i > 0 {
			p.text(", ")
		}
		p.value(depth - 1)
		p.text(": ")
		p.value(depth - 1)
	}
	p.text("}")
}

// floatText is the repr of a float; whole is what one without fraction ends with.
func floatText(f float64, bits int, whole string) string {
	switch {
	case f != f:
		return "nan"
	case math.IsInf(f, 0):
		return strings.TrimLeft(strings.ToLower(strconv.FormatFloat(f, 'g', -1, bits)), "+")
	}
	if a := math.Abs(f); a != 0 && (a < 1e-4 || a >= 1e16) {
		return strconv.FormatFloat(f, 'e', -1, bits)
	}
	s := strconv.FormatFloat(f, 'f', -1, bits)
	if !strings.Contains(s, ".") {
		s += whole
	}
	return s
}

// quote writes a str, or the bytes of a bin, as a literal of Python.
func (p *printer) quote(s []byte, raw bool) {
	s = s[:min(len(s), max(p.limit+utf8.UTFMax-len(p.out), 0))]
	quote := "'"
	if text := string(s); strings.Contains(text, "'") && !strings.Contains(text, `"`) {
		quote = `"`
	}
	p.text(quote)
	for len(s) > 0 && !p.full() {
		r, n := rune(s[0]), 1
		if !raw {
			r, n = utf8.DecodeRune(s)
		}
		p.letter(r, n, s[0], quote, raw)
		s = s[n:]
	}
	p.text(quote)
}

func (p *printer) letter(r rune, n int, first byte, quote string, raw bool) {
	const hex = "0123456789abcdef"
	switch {
	case r == '\\' || string(r) == quote:
		p.text(`\`, string(r))
	case r == '\n':
		p.text(`\n`)
	case r == '\r':
		p.text(`\r`)
	case r == '\t':
		p.text(`\t`)
	case r < ' ' || r == 0x7f || raw && r > 0x7f || r == utf8.RuneError && n == 1:
		p.text(`\x`, hex[first>>4:][:1], hex[first&15:][:1])
	case unicode.IsPrint(r):
		p.text(string(r))
	case r < 0x100:
		p.text(`\x`, hex[r>>4:][:1], hex[r&15:][:1])
	case r < 0x10000:
		p.text(`\u`, leftPad(strconv.FormatInt(int64(r), 16), 4))
	default:
		p.text(`\U`, leftPad(strconv.FormatInt(int64(r), 16), 8))
	}
}

func leftPad(s string, width int) string { return strings.Repeat("0", max(width-len(s), 0)) + s }

// ext writes an extension. One that is malformed is written as its code and size.
func (p *printer) ext(code int8, content []byte, depth int) {
	if in, n, ok := elements(content); ok && holdsValues(code) {
		outer := p.cursor
		p.cursor = in
		p.holder(code, content, n, depth)
		p.cursor = outer
		return
	}
	t := token{class: classExt, ext: code}
	if n, ok := readNumber(t, content); ok {
		p.number(code, content, n)
		return
	}
	switch code {
	case ExtTime:
		if tm, ok := parseTime(content); ok {
			p.text("<", tm.Format(time.RFC3339Nano), ">")
			return
		}
	case ExtObject:
		if ref, ok := parseRef(content); ok {
			p.text("<reference ", strconv.FormatUint(ref.ID, 10), ">")
			return
		}
	case ExtHandle:
		if h, err := parseHandle(content); err == nil {
			p.text("<handle of kind ", strconv.Itoa(int(h.Kind)), ">")
			return
		}
	case ExtBlob:
		if o, ok := parseOpaque(content); ok {
			p.text("<", strings.ToValidUTF8(o.Format, "?"), ", ", count(len(o.Data)), ">")
			return
		}
	}
	p.text("<extension ", strconv.Itoa(int(code)), ", ", count(len(content)), ">")
}

func (p *printer) holder(code int8, content []byte, n, depth int) {
	switch {
	case code == ExtTuple && n == 1:
		p.list("(", 1, ",)", depth)
	case code == ExtTuple:
		p.list("(", n, ")", depth)
	case code == ExtSet && n == 0:
		p.text("set()")
	case code == ExtSet:
		p.list("{", n, "}", depth)
	case code == ExtFrozenSet && n == 0:
		p.text("frozenset()")
	case code == ExtFrozenSet:
		p.list("frozenset({", n, "})", depth)
	case code == ExtSlice:
		p.list("slice(", n, ")", depth)
	default:
		if f, err := ParseFault(content); err == nil {
			p.text("<error ", strings.ToValidUTF8(f.Kind, "?"), ": ")
			p.quote([]byte(f.Text), false)
			p.text(">")
			return
		}
		p.list("<error ", n, ">", depth)
	}
}

// number writes a big integer or a complex number.
func (p *printer) number(code int8, content []byte, n number) {
	if code == ExtComplex {
		p.complex(parseComplex(content))
		return
	}
	if len(content) > max(p.limit-len(p.out), 0) { // it would not fit, and take long
		p.text("<integer of ", count(len(content)), ">")
		return
	}
	p.text(n.integer().String())
}

func (p *printer) complex(re, im float64) {
	imag := floatText(im, 64, "") + "j"
	if re == 0 && !math.Signbit(re) {
		p.text(imag)
		return
	}
	sign := ""
	if !strings.HasPrefix(imag, "-") {
		sign = "+"
	}
	p.text("(", floatText(re, 64, ""), sign, imag, ")")
}
