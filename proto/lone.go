package proto

import "math"

// ParseInt reads b as one integer that an int64 can hold, and ParseBin as one value of
// bytes, which alias b. Anything else is ErrProtocol. They are for who moves many small
// values and knows what they are; all others use Unmarshal.
func ParseInt(b []byte) (int64, error) {
	if len(b) == 1 && (b[0] < 0x80 || b[0] >= 0xe0) {
		return int64(int8(b[0])), nil
	}
	c := cursor{b: b}
	t, err := c.peek()
	if err != nil {
		return 0, err
	}
	if t.class != classUint && t.class != classInt || t.class == classUint && t.bits > math.MaxInt64 {
		return 0, protocolf("expected an integer of 64 bits, found %s", t.class)
	}
	if err := c.skip(); err != nil {
		return 0, err
	}
	return int64(t.bits), c.end("an integer")
}

// ParseBin: see ParseInt.
func ParseBin(b []byte) ([]byte, error) {
	c := cursor{b: b}
	_, content, err := c.take(classBin, "the value")
	if err != nil {
		return nil, err
	}
	return content, c.end("the value")
}
