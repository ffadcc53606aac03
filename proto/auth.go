package proto

// An Auth is a client's proof that it has the key.
type Auth struct {
	Nonce []byte // of 32 bytes, the client's
	Proof []byte // of 32 bytes
}

// AppendAuthParams appends the params [nonce, proof, {}].
func AppendAuthParams(b []byte, v Auth) []byte {
	b = AppendBin(AppendArrayHeader(b, 3), v.Nonce)
	return AppendMapHeader(AppendBin(b, v.Proof), 0)
}

// ParseAuth reads the params of auth. What it returns aliases p. It does not look at the lengths.
func ParseAuth(p Raw) (v Auth, err error) {
	c := cursor{b: p}
	if err = c.tuple(3, "auth"); err != nil {
		return v, err
	}
	if _, v.Nonce, err = c.take(classBin, "the nonce"); err != nil {
		return Auth{}, err
	}
	if _, v.Proof, err = c.take(classBin, "the proof"); err != nil {
		return Auth{}, err
	}
	if err = c.noOptions("the options of auth"); err == nil {
		err = c.end("auth")
	}
	return v, err
}

// AppendAuthAnswer appends the result [proof].
func AppendAuthAnswer(b, proof []byte) []byte { return AppendBin(AppendArrayHeader(b, 1), proof) }

// ParseAuthAnswer reads the result of auth, which aliases r.
func ParseAuthAnswer(r Raw) (proof []byte, err error) {
	c := cursor{b: r}
	if err = c.tuple(1, "the answer to auth"); err != nil {
		return nil, err
	}
	if _, proof, err = c.take(classBin, "the proof"); err != nil {
		return nil, err
	}
	return proof, c.end("the answer to auth")
}
