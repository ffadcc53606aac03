package stock

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-185a7250/multiproc/proto"
)

func exec(t *testing.T, in ExecArgs) (ExecResult, error) {
	t.Helper()
	return run(t.Context(), call{}, in, io.Discard, io.Discard)
}

func sh(script string, args ...string) ExecArgs {
	return ExecArgs{Command: append([]string{"sh", "-c", script, "sh"}, args...)}
}

func TestExec(t *testing.T) {
	dir := t.TempDir()
	in := sh(`echo "$A $1"; pwd; cat; echo oops >&2`, "x y")
	in.Env, in.Dir, in.Stdin = map[string]string{"A": "b"}, dir, "input"
	var out, errs bytes.Buffer
	got, err := run(t.Context(), call{}, in, &out, &errs)
	want := ExecResult{Stdout: "b x y\n" + dir + "\ninput", Stderr: "oops\n", PID: got.PID}
	if err != nil || !reflect.DeepEqual(got, want) || got.PID == 0 {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	if out.String() != "b x y\n"+dir+"\ninput\n" || errs.String() != "oops\n" {
		t.Errorf("shown: %q and %q", out.String(), errs.String())
	}
	in.Quiet = true
	out.Reset()
	if _, err := run(t.Context(), call{}, in, &out, &out); err != nil || out.Len() > 0 {
		t.Errorf("quiet: shown %q, %v", out.String(), err)
	}
}

func fault(t *testing.T, err error) *proto.Fault {
	t.Helper()
	var f *proto.Fault
	if !errors.As(err, &f) {
		t.Fatalf("got %v, want a *proto.Fault", err)
	}
	return f
}

func value(t *testing.T, f *proto.Fault) (result ExecResult) {
	t.Helper()
	if _, err := proto.Unmarshal(proto.Payload{Bytes: f.Value}, &result, proto.Limits{}); err != nil {
		t.Fatal(err)
	}
	return result
}

// A command that fails is an error, and its output is kept.
func TestExitStatus(t *testing.T) {
	_, err := exec(t, sh(`echo almost; exit 3`))
	f := fault(t, err)
	if f.Kind != proto.KindExitStatus || f.Text != "sh: exit status 3" {
		t.Errorf("got %+v", f)
	}
	if v := value(t, f); v.Exit != 3 || v.Stdout != "almost\n" {
		t.Errorf("got %+v", v)
	}
	_, err = exec(t, sh(`kill -9 $$`))
	if f := fault(t, err); f.Text != "sh: signal: killed" || value(t, f).Exit != -9 {
		t.Errorf("got %+v", f)
	}
}

func TestExecRefuses(t *testing.T) {
	for want, in := range map[string]ExecArgs{
		`exec: no "command"; expected a list such as ["echo", "hello"]`:                                  {},
		`exec: environment "A=B"="c"; expected a name without = and no zero bytes`:                       {Command: []string{"true"}, Env: map[string]string{"A=B": "c"}},
		`supervisor: start no-such-program: exec: "no-such-program": executable file not found in $PATH`: {Command: []string{"no-such-program"}},
		`supervisor: start true: working directory: stat /no/such: no such file or directory`:            {Command: []string{"true"}, Dir: "/no/such"},
	} {
		if _, err := exec(t, in); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestOutputThatIsNoText(t *testing.T) {
	got, err := exec(t, sh(`printf '\377\000'`))
	if err != nil || !bytes.Equal(got.Stdout.([]byte), []byte{255, 0}) || got.Stderr != "" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestOutputIsBounded(t *testing.T) {
	got, err := exec(t, sh(`head -c 3000000 /dev/zero | tr '\0' x`))
	if err != nil || len(got.Stdout.(string)) != 1<<20 || got.StdoutDropped != 3000000-1<<20 || got.StderrDropped != 0 {
		t.Errorf("kept %d, dropped %d, %v", len(got.Stdout.(string)), got.StdoutDropped, err)
	}
}

// Input that nobody reads holds nothing up.
func TestInputThatIsNotRead(t *testing.T) {
	in := sh(`exit 0`)
	in.Stdin = strings.Repeat("x", 1<<20)
	if _, err := exec(t, in); err != nil {
		t.Error(err)
	}
	in = sh(`wc -c`)
	in.Stdin = strings.Repeat("x", 1<<20)
	if got, err := exec(t, in); err != nil || strings.TrimSpace(got.Stdout.(string)) != "1048576" {
		t.Errorf("got %+v, %v", got, err)
	}
}

// readyFile waits until a command has made a file, and returns what is in it.
func readyFile(t *testing.T, path string) string {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if b, _ := os.ReadFile(path); strings.HasSuffix(string(b), "\n") {
			return string(b)
		}
	}
	t.Errorf("%s did not come", path)
	return ""
}

// When the context ends, a command may end in good order; it has not succeeded all the same.
func TestCancelTerminates(t *testing.T) {
	ready := filepath.Join(t.TempDir(), "ready")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		readyFile(t, ready)
		cancel()
	}()
	in := sh(`trap 'echo bye; exit 0' TERM; echo > "$1"; while :; do sleep 0.01; done`, ready)
	_, err := run(ctx, call{grace: time.Minute}, in, io.Discard, io.Discard)
	f := fault(t, err)
	if f.Kind != proto.KindCancelled || !errors.Is(err, context.Canceled) || f.Text != "sh was told to end: exit status 0" {
		t.Errorf("got %+v, %v", f, err)
	}
	if v := value(t, f); v.Stdout != "bye\n" {
		t.Errorf("got %+v", v)
	}
}

// A command deaf to SIGTERM is killed when the grace is over, with its group; here by a time limit.
func TestTimeoutKillsTheGroup(t *testing.T) {
	ready := filepath.Join(t.TempDir(), "ready")
	ctx, stop := context.WithCancelCause(t.Context())
	go func() {
		readyFile(t, ready)
		stop(context.DeadlineExceeded) // as a context with a deadline ends, but not before the command is ready
	}()
	in := sh(`trap '' TERM; sleep 300 & echo $! > "$1"; wait; sleep 300`, ready)
	_, err := run(ctx, call{grace: 50 * time.Millisecond}, in, io.Discard, io.Discard)
	f := fault(t, err)
	if f.Kind != proto.KindTimeout || f.Text != "sh was told to end: signal: killed" || value(t, f).Exit != -9 {
		t.Errorf("got %+v", f)
	}
	child, err := strconv.Atoi(strings.TrimSpace(readyFile(t, ready)))
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); alive(child); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("grandchild %d is still there", child)
		}
	}
}

// alive: there is such a process and it is no zombie.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func TestContextEndedBeforeTheStart(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := run(ctx, call{}, sh("exit 0"), io.Discard, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
