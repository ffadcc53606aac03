package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// version names what was built: the module's version, or the commit that the source was at.
func version() string {
	text := "master (unknown version)"
	if info, ok := debug.ReadBuildInfo(); ok {
		text = "master " + info.Main.Version
	}
	return fmt.Sprintf("%s, %s, %s/%s", text, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
