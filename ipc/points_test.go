//go:build killpoints

package ipc

import (
	"time"

	"github.com/seed-185a7250/multiproc/ipc/internal/shm"
)

func init() {
	noNaps = func() { shm.SetRelook(time.Hour, time.Hour) }
	waver = shm.Waver
}
