package ipc

func init() {
	kinds["rlock"] = func(c *call) (thing, error) {
		return &managedLock{reentrant: true}, c.createArgs(0, 0, nil)
	}
}

// An rlock is a managedLock that its owner may acquire again.
var rlockOps = map[string]operation[*managedLock]{
	"acquire": {0, 0, (*managedLock).acquire},
	"release": {0, 0, (*managedLock).release},
	"locked":  {0, 0, (*managedLock).locked},
	"owned":   {0, 0, (*managedLock).owned},
	"count":   {0, 0, (*managedLock).count},
}

func (l *managedLock) owned(c *call) { c.replyBool(l.levels(c) > 0) }
func (l *managedLock) count(c *call) { c.replyInt(l.levels(c)) }

// levels is how many the caller holds.
func (l *managedLock) levels(c *call) int {
	if l.owner != c.caller() {
		return 0
	}
	return l.level
}
