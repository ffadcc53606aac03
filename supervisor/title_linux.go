package supervisor

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"
	"unsafe"
)

// argArea is the memory that the kernel shows as this process's arguments, found on the first setTitle.
var argArea []byte

// lastComm is the command name that setComm has set.
var lastComm string

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

// takeArgs moves os.Args to the heap and returns the memory it had: the whole of what the kernel shows as our
// arguments. It returns nothing if os.Args is not there (any more: a program may assign to it).
func takeArgs() []byte {
	if len(os.Args) == 0 {
		return nil
	}
	first := unsafe.StringData(os.Args[0])
	start, end := argBounds()
	if end <= start || uintptr(unsafe.Pointer(first)) != start {
		return nil
	}
	copied := make([]string, len(os.Args))
	for i, arg := range os.Args {
		copied[i] = strings.Clone(arg)
	}
	if flag.CommandLine.Name() == os.Args[0] {
		flag.CommandLine.Init(copied[0], flag.CommandLine.ErrorHandling())
	}
	os.Args = copied
	return unsafe.Slice(first, end-start)
}

// argBounds asks the kernel where the arguments lie: fields 48 and 49 of proc_pid_stat(5), the 46th and
// 47th after the command name.
func argBounds() (start, end uintptr) {
	b, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return 0, 0
	}
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(f) < 47 {
		return 0, 0
	}
	from, _ := strconv.ParseUint(f[45], 10, 64)
	to, _ := strconv.ParseUint(f[46], 10, 64)
	return uintptr(from), uintptr(to)
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
	if name == lastComm {
		return nil // a title may change with every ticket; its beginning seldom does
	}
	if err := os.WriteFile("/proc/self/comm", []byte(name), 0); err != nil {
		return fmt.Errorf("supervisor: command name: %w", err)
	}
	lastComm = name
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
