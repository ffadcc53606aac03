package shm

// Joinable tells whether items have to be finished.
func (x *Queue) Joinable() bool { return x.m.u64(offFlags).Load()&FlagJoin != 0 }
