package supervisor

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
)

func TestLogLines(t *testing.T) {
	for _, c := range []struct {
		name string
		in   string // lines of stderr
		want string // of the log
	}{
		{"plain", "hello\n", "[INFO]  hello\n"},
		{"windows", "hello\r\n", "[INFO]  hello\n"},
		{"level", `{"@level":"warn","@message":"low"}`, "[WARN]  low\n"},
		{"every level", `{"@level":"trace","@message":"a"}` + "\n" + `{"@level":"debug","@message":"b"}` + "\n" + `{"@level":"error","@message":"c"}`, "[TRACE] a\n[DEBUG] b\n[ERROR] c\n"},
		{"fields in order", `{"@level":"info","@message":"sold","ticket":12345678901234567890,"@timestamp":"x","buyer":"b","free":true}`, "[INFO]  sold: buyer=b free=true ticket=12345678901234567890\n"},
		{"no level", `{"@message":"x"}`, `[INFO]  {"@message":"x"}` + "\n"},
		{"another's JSON", `{"level":"error","msg":"x"}`, `[INFO]  {"level":"error","msg":"x"}` + "\n"},
		{"not quite JSON", `{"@level":"error","@message":"x"} and more`, `[INFO]  {"@level":"error","@message":"x"} and more` + "\n"},
		{"panic", "before\npanic: no\n\ngoroutine 1 [running]:\n", "[INFO]  before\n[ERROR] panic: no\n[ERROR] \n[ERROR] goroutine 1 [running]:\n"},
		{"fatal", "fatal error: all goroutines are asleep - deadlock!\nmain.main()\n", "[ERROR] fatal error: all goroutines are asleep - deadlock!\n[ERROR] main.main()\n"},
		{"JSON after a panic", "panic: no\n" + `{"@level":"debug","@message":"x"}`, "[ERROR] panic: no\n" + `[ERROR] {"@level":"debug","@message":"x"}` + "\n"},
		{"talk of a panic", "no panic: yet\n", "[INFO]  no panic: yet\n"},
	} {
		var log logBuffer
		s := splitter{emit: logLines(log.logger())}
		s.write([]byte(c.in))
		s.end()
		if got := log.String(); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

var taskLogs = NewTask("test.logs", func(context.Context, struct{}) (int, error) {
	log := hclog.New(&hclog.LoggerOptions{JSONFormat: true, Level: hclog.Debug})
	log.Debug("from the worker", "pid", os.Getpid())
	return fmt.Fprintln(os.Stderr, "plain words")
})

// What a worker writes to stderr comes to the pool's log under its name, with its level.
func TestPoolLog(t *testing.T) {
	log := &logBuffer{}
	o := testOptions(1)
	o.Logger = log.logger().Named("pool")
	p := newTestPool(t, o)
	if _, err := taskLogs.Call(within(t), p, struct{}{}); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		fmt.Sprintf("[DEBUG] pool.worker-1: from the worker: pid=%d\n", p.Status()[0].PIDs[0]),
		"[INFO]  pool.worker-1: plain words\n",
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("%q is not in the log:\n%s", want, log)
		}
	}
}
