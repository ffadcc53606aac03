package ipc

import "github.com/seed-185a7250/multiproc/proto"

func init() {
	kinds["event"] = func(c *call) (thing, error) {
		if len(c.args) > 0 {
			return nil, faultf(proto.KindArguments, "an event takes no arguments, found %d", len(c.args))
		}
		return &managedEvent{}, nil
	}
}

// A managedEvent is a flag to wait for. Who waits when it is set has been woken, whatever
// happens to the flag next.
type managedEvent struct {
	flag    bool
	waiters line
}

func (e *managedEvent) call(c *call) {
	if !c.arity(0, 0) {
		return
	}
	switch c.op {
	case "set":
		e.flag = true
		e.waiters.each(func(p *parked) {
			p.take()
			p.replyBool(true)
		})
		c.replyNil()
	case "clear":
		e.flag = false
		c.replyNil()
	case "is_set":
		c.replyBool(e.flag)
	case "wait":
		if e.flag {
			c.replyBool(true)
			return
		}
		c.park(&e.waiters, func(p *parked, why reason) {
			switch why {
			case overTime:
				p.replyBool(false)
			case departed:
			default:
				p.fail(why.fault())
			}
		})
	default:
		c.unknown()
	}
}

func (e *managedEvent) text(b []byte, max int) []byte {
	if e.flag {
		return append(b, "<event, set>"...)
	}
	return append(b, "<event, not set>"...)
}

func (e *managedEvent) drop(*Manager) {
	e.waiters.each(func(p *parked) { p.quit(objectEnd) })
}
