package ipc

func init() {
	kinds["event"] = func(c *call) (thing, error) {
		return &managedEvent{}, c.createArgs(0, 0, nil)
	}
}

// A managedEvent is a flag to wait for. Who waits when it is set has been woken, whatever
// happens to the flag next.
type managedEvent struct {
	flag    bool
	waiters line
}

var eventOps = map[string]operation[*managedEvent]{
	"set":    {0, 0, (*managedEvent).set},
	"clear":  {0, 0, func(e *managedEvent, c *call) { e.flag = false; c.replyNil() }},
	"is_set": {0, 0, func(e *managedEvent, c *call) { c.replyBool(e.flag) }},
	"wait":   {0, 0, (*managedEvent).wait},
}

func (e *managedEvent) call(c *call) { operate(e, c, eventOps) }

func (e *managedEvent) set(c *call) {
	e.flag = true
	e.waiters.each(func(p *parked) {
		p.take()
		p.replyBool(true)
	})
	c.replyNil()
}

func (e *managedEvent) wait(c *call) {
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
}

// text is like <Event(set)>, <Event(unset, waiting=2)>.
func (e *managedEvent) text(b []byte, max int) []byte {
	state := "<Event(unset"
	if e.flag {
		state = "<Event(set"
	}
	return append(e.waiters.text(append(b, state...)), ")>"...)
}

func (e *managedEvent) drop(*Manager) {
	e.waiters.each(func(p *parked) { p.quit(objectEnd) })
}
