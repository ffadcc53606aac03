package supervisor

import (
	"fmt"
	"os"
	"syscall"
	"testing"
)

// Stops itself as often as it can, and gets to its end all the same.
var awakeHelper = helper("awake", func([]string) {
	stayAwake()
	for n := range 5 {
		fmt.Println(n)
		syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	}
	fmt.Println("end")
})

func TestStayAwake(t *testing.T) {
	checkLeaks(t)
	line, lines := lineChan()
	s := awakeHelper.spec()
	s.Stdout = Output{Lines: line}
	ended(t, begin(t, s))
	for range 5 {
		receive(t, lines, "a line")
	}
	if last := receive(t, lines, "the last line"); last != "end" {
		t.Errorf("the last line is %q", last)
	}
}
