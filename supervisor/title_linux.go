package supervisor

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"unicode/utf8"
	"unsafe"
)

// argArea is the memory that the kernel shows as this process's arguments, found on the first setTitle.
var argArea []byte

// setTitle makes `ps` show title as this process's arguments, and the beginning of it as its command name.
//
// The strings of os.Args lie in that memory: they are copied first, and flag.CommandLine is told the copy of
// its name. Any other string cut from os.Args before the call (a flag's value, filepath.Base(os.Args[0])
// in a variable) would show parts of the title: call it before such strings are made, as the hook of a
// worker does. Not for several goroutines at once.
//
// A title longer than the original arguments is cut: the environment behind them is not touched.
func setTitle(title string) error {
	title = strings.ReplaceAll(title, "\x00", " ")
	if argArea == nil {
		argArea = takeArgs()
	}
	if len(argArea) == 0 {
		return setComm(title)
	}
	// The last byte stays zero: where it is not, the kernel takes it for an overrun in the manner of
	// setproctitle(3) and shows the environment too (fs/proc/base.c, get_mm_cmdline).
	n := copy(argArea[:len(argArea)-1], cutUTF8(title, len(argArea)-1))
	clear(argArea[n:])
	return setComm(title)
}

// takeArgs moves os.Args to the heap and returns the memory it had: that of the leading arguments that
// follow one another. (Somebody may have changed os.Args; then it can be short, or empty.)
func takeArgs() []byte {
	if len(os.Args) == 0 || !inStack(os.Args[0]) {
		return nil
	}
	start := unsafe.StringData(os.Args[0])
	length := 0
	for _, arg := range os.Args {
		if unsafe.StringData(arg) != (*byte)(unsafe.Add(unsafe.Pointer(start), length)) {
			break
		}
		length += len(arg) + 1 // its zero byte
	}
	copied := make([]string, len(os.Args))
	for i, arg := range os.Args {
		copied[i] = strings.Clone(arg)
	}
	if flag.CommandLine.Name() == os.Args[0] {
		flag.CommandLine.Init(copied[0], flag.CommandLine.ErrorHandling())
	}
	os.Args = copied
	return unsafe.Slice(start, length)
}

// setComm sets the command name, of which the kernel keeps 15 bytes. A longer one is cut, after a word if that
// leaves something to read.
func setComm(name string) error {
	const keep = 15
	if len(name) > keep {
		name = cutUTF8(name, keep+1)
		if i := strings.LastIndexByte(name, ' '); i >= keep/2 {
			name = name[:i]
		}
		name = strings.TrimRight(cutUTF8(name, keep), " :,")
	}
	if err := os.WriteFile("/proc/self/comm", []byte(name), 0); err != nil {
		return fmt.Errorf("supervisor: command name: %w", err)
	}
	return nil
}

// cutUTF8 cuts s to n bytes at most, and through no character.
func cutUTF8(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
