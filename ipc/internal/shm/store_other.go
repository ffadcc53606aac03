//go:build race || !amd64

package shm

import "sync/atomic"

// StoreRelease stores v after all stores before it.
func StoreRelease(p *uint64, v uint64) { atomic.StoreUint64(p, v) }
