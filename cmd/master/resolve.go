package main

import (
	"fmt"
	"path/filepath"
)

// resolve makes the args of a ticket ready for a worker: each Ref becomes the object that shared returns for its name, each Scratch
// a path below the directory scratch. The tree itself, which all tickets of an entry have in common, stays as it is.
func resolve(tree any, shared func(name string) (any, bool), scratch string) (any, error) {
	switch v := tree.(type) {
	case Ref:
		object, ok := shared(v.Name)
		if !ok {
			return nil, fmt.Errorf("nothing shared is called %q", v.Name)
		}
		return object, nil
	case Scratch:
		return filepath.Join(scratch, v.Path), nil
	case []any:
		return resolveList(v, shared, scratch)
	case map[string]any:
		return resolveMap(v, shared, scratch)
	}
	return tree, nil
}

func resolveList(list []any, shared func(string) (any, bool), scratch string) (any, error) {
	out := make([]any, len(list))
	for i, item := range list {
		v, err := resolve(item, shared, scratch)
		if err != nil {
			return nil, err
		}
		out[i] = v
	}
	return out, nil
}

func resolveMap(m map[string]any, shared func(string) (any, bool), scratch string) (any, error) {
	out := make(map[string]any, len(m))
	for key, item := range m {
		v, err := resolve(item, shared, scratch)
		if err != nil {
			return nil, err
		}
		out[key] = v
	}
	return out, nil
}
