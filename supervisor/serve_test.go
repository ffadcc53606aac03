package supervisor

import (
	"testing"
	"time"

	"github.com/seed-185a7250/multiproc/proto"
)

// A goroutine that comes from writing a long answer begins nothing beside what another has begun meanwhile.
func TestNextBesideAnother(t *testing.T) {
	for _, c := range []struct {
		slots int
		want  bool
	}{{0, false}, {1, false}, {2, true}} {
		s := &server{
			welcome: proto.Welcome{Slots: c.slots}, scribe: newScribe(nil), watch: time.AfterFunc(time.Hour, func() {}),
			running: []*run{{id: 1}}, ahead: []request{{id: 2}},
		}
		if current, _ := s.next(); (current != nil) != c.want {
			t.Errorf("%d slots: begins run %+v beside another", c.slots, current)
		}
		s.watch.Stop()
	}
}
