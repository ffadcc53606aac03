//go:build !race

package shm

// StoreRelease stores v after all stores before it. On amd64 every store does that, but
// sync/atomic has only one that also waits until it is seen, which takes as long as a
// whole compare-and-swap.
func StoreRelease(p *uint64, v uint64) { *p = v }
