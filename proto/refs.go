package proto

import "encoding/binary"

// refBytes is how much of a reference tells which object it means; the address follows.
const refBytes = 16

// Refs calls yield for every reference to an object of the manager with this instance that
// the scanned value v holds: at any depth, in keys of maps, in tuples, sets, frozen sets and
// errors too. A reference that is there twice is told twice. Refs passes v once, allocates
// nothing, and does not look into extensions whose content is malformed.
func Refs(v Raw, instance uint64, yield func(id uint64)) {
	w := walker{cursor{b: v}}
	for w.i < len(v) {
		if n := short(v, w.i); n > 0 {
			w.i += n
			continue
		}
		t, content, ok := w.next()
		if !ok {
			return
		}
		if t.class == classExt && t.ext == ExtObject && len(content) >= refBytes && binary.BigEndian.Uint64(content) == instance {
			yield(binary.BigEndian.Uint64(content[8:]))
		}
	}
}
