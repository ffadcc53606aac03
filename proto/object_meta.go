package proto

// An ObjectMeta is the meta of a handle of an object of a manager.
type ObjectMeta struct {
	Ref  Ref
	Kind string
}

// AppendObjectMeta appends [instance, id, kind, address].
func AppendObjectMeta(b []byte, v ObjectMeta) []byte {
	b = AppendUint(AppendUint(AppendArrayHeader(b, 4), v.Ref.Instance), v.Ref.ID)
	return AppendString(AppendString(b, v.Kind), v.Ref.Address)
}

// ParseObjectMeta reads what AppendObjectMeta wrote. What it returns shares nothing with r.
func ParseObjectMeta(r Raw) (v ObjectMeta, err error) {
	c := cursor{b: r}
	if err = c.tuple(4, "an object of a manager"); err != nil {
		return v, err
	}
	if v.Ref.Instance, err = c.uint("the instance"); err != nil {
		return ObjectMeta{}, err
	}
	if v.Ref.ID, err = c.id(); err != nil {
		return ObjectMeta{}, err
	}
	if v.Kind, err = c.text("the kind"); err != nil {
		return ObjectMeta{}, err
	}
	if v.Ref.Address, err = c.text("the address"); err == nil {
		err = c.end("an object of a manager")
	}
	return v, err
}
