package main

import (
	"fmt"
	"io"

	"github.com/seed-185a7250/multiproc/ipc"
)

// A sharedKind is one kind of object that a job can share: what its description may say besides the kind, and how it is made.
type sharedKind struct {
	options []field[Shared]
	open    func(Shared) (io.Closer, error)
}

// sharedKinds are all kinds by the name that job files give them.
var sharedKinds = map[string]sharedKind{
	"lock": {open: func(s Shared) (io.Closer, error) { return ipc.NewLock(ipc.LockOptions{Name: s.Name}) }},
}

// sharedObjects are the objects of a running job by name. They are made before any process starts, and closed when all have ended.
type sharedObjects map[string]io.Closer

func openShared(job *Job) (sharedObjects, error) {
	objects := sharedObjects{}
	for _, s := range job.Shared {
		object, err := sharedKinds[s.Kind].open(s)
		if err != nil {
			objects.close()
			return nil, fmt.Errorf("shared %q: %w", s.Name, err)
		}
		objects[s.Name] = object
	}
	return objects, nil
}

// lookup is what resolve asks.
func (o sharedObjects) lookup(name string) (any, bool) {
	object, ok := o[name]
	return object, ok
}

func (o sharedObjects) close() {
	for _, object := range o {
		object.Close() // the memory is freed with its last user whatever Close says
	}
}
