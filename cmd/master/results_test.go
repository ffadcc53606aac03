package main

import (
	"encoding/json"
	"errors"
	"io"
	"math"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed-185a7250/multiproc/proto"
)

var someRecord = Record{
	ID: "nap-1", Task: "sleep", Outcome: outcomeOK, Attempts: 1, Worker: 2, PID: 4711,
	Started: time.Date(2025, 1, 2, 3, 4, 5, 60, time.UTC), Elapsed: 1500 * time.Millisecond,
}

var failedRecord = Record{
	ID: "x", Task: "exec", Outcome: outcomeSignal, Attempts: 5, Worker: 1, PID: 17, Started: someRecord.Started,
	Failure: &Failure{Kind: "signal", Text: "worker 1 (pid 17) died", Exit: "signal: killed", PeakMemory: 1 << 24, Stderr: []string{"a <b>", "c"}},
}

func mustOpen(t *testing.T, path string) *Results {
	t.Helper()
	r, err := OpenResults(path)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func mustWrite(t *testing.T, r *Results, records ...Record) {
	t.Helper()
	for _, rec := range records {
		if err := r.Write(rec); err != nil {
			t.Error(err)
		}
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

const someLine = `{"id":"nap-1","task":"sleep","outcome":"ok","attempts":1,"worker":2,"pid":4711,"started":"2025-01-02T03:04:05.000000060Z","seconds":1.5,"value":null}` + "\n"

func TestResultLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.jsonl")
	mustWrite(t, mustOpen(t, path), someRecord, failedRecord)
	never := Record{ID: "n", Task: "sleep", Outcome: outcomeCancelled, Failure: &Failure{Kind: "cancelled", Text: "interrupted"}}
	mustWrite(t, mustOpen(t, path), never)
	want := someLine +
		`{"id":"x","task":"exec","outcome":"signal","attempts":5,"worker":1,"pid":17,"started":"2025-01-02T03:04:05.000000060Z","seconds":0,` +
		`"error":{"kind":"signal","text":"worker 1 (pid 17) died","exit":"signal: killed","peak_memory":16777216,"stderr":["a <b>","c"]}}` + "\n" +
		`{"id":"n","task":"sleep","outcome":"cancelled","attempts":0,"worker":0,"pid":0,"seconds":0,"error":{"kind":"cancelled","text":"interrupted"}}` + "\n"
	if got := readFile(t, path); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

// An unfinished line, left by a crash, does not swallow the next one.
func TestUnfinishedLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.jsonl")
	if err := os.WriteFile(path, []byte(`{"id":"a","ta`), 0o600); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, mustOpen(t, path), someRecord, someRecord)
	if got, want := readFile(t, path), `{"id":"a","ta`+"\n"+someLine+someLine; got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

// A full disk is an error that says so.
func TestFullDisk(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip(err)
	}
	r := mustOpen(t, "/dev/full")
	defer r.Close()
	want := "results: /dev/full: no space left on device"
	if err := r.Write(someRecord); err == nil || err.Error() != want || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v, want %s", err, want)
	}
}

// After a write that took half a line, the next line is whole again.
func TestLineCutShort(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.jsonl")
	r := mustOpen(t, path)
	r.f.WriteString(someLine[:20])
	r.torn = true // as after a write that took 20 bytes
	mustWrite(t, r, someRecord, someRecord)
	if got, want := readFile(t, path), someLine[:20]+"\n"+someLine+someLine; got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestResultsThatCannotBeOpened(t *testing.T) {
	t.Chdir(t.TempDir())
	for path, want := range map[string]string{
		".":        "results: .: is a directory",
		"no/where": "results: no/where: no such file or directory",
	} {
		if _, err := OpenResults(path); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestResultsIntoAPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	got := make(chan string)
	go func() {
		f, _ := os.Open(path)
		defer f.Close()
		b, _ := io.ReadAll(f)
		got <- string(b)
	}()
	mustWrite(t, mustOpen(t, path), someRecord)
	if text := <-got; text != someLine {
		t.Errorf("got %s", text)
	}
}

func TestWritersTogether(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.jsonl")
	a, b := mustOpen(t, path), mustOpen(t, path)
	var group sync.WaitGroup
	for i := range 4 {
		group.Go(func() {
			r := []*Results{a, b}[i%2]
			for j := range 100 {
				rec := someRecord
				rec.ID, rec.Value = strconv.Itoa(i*100+j), strings.Repeat("x", 5000)
				if err := r.Write(rec); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	mustWrite(t, a)
	mustWrite(t, b)
	seen := map[string]bool{}
	for line := range strings.Lines(readFile(t, path)) {
		var row struct{ ID string }
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatal(err)
		}
		seen[row.ID] = true
	}
	if len(seen) != 400 {
		t.Errorf("%d ids, want 400", len(seen))
	}
}

// What has been written is synced without a further Write; seen by an error of the sync, since a sync that succeeds shows nothing.
func TestSyncErrorIsReported(t *testing.T) {
	r := mustOpen(t, filepath.Join(t.TempDir(), "r.jsonl"))
	if err := r.Write(someRecord); err != nil {
		t.Fatal(err)
	}
	r.f.Close()
	if err := r.Close(); err == nil || !strings.Contains(err.Error(), "results: not on the disk: ") {
		t.Errorf("got %v", err)
	}
}

// No value of a task can break a line.
func TestValues(t *testing.T) {
	type odd struct{}
	for _, c := range []struct {
		value any
		want  string
	}{
		{nil, `null`},
		{int64(9007199254740993), `9007199254740993`},
		{uint64(math.MaxUint64), `18446744073709551615`},
		{[]any{math.NaN(), math.Inf(1), math.Inf(-1), 0.1, float32(0.1)}, `["NaN","Infinity","-Infinity",0.1,0.1]`},
		{[]byte{0, 255}, `{"$base64":"AP8="}`},
		{"a\xff", `{"$base64":"Yf8="}`},
		{"line\nline & <é>\u2028", `"line\nline & <é>\u2028"`},
		{map[string]any{"b": []any{}, "a": map[string]any{}}, `{"a":{},"b":[]}`},
		{map[any]any{int64(1): "x", true: nil}, `{"1":"x","true":null}`},
		{map[string]any{"\xff": int64(1)}, `[[{"$base64":"/w=="},1]]`},
		{time.Date(12025, 1, 1, 0, 0, 0, 0, time.UTC), `"12025-01-01T00:00:00Z"`},
		{proto.Ext{Code: 9, Data: []byte{1}}, `{"$ext":[9,{"$base64":"AQ=="}]}`},
		{proto.Tuple{int64(1), proto.Set{"a"}, proto.FrozenSet{}}, `[1,["a"],[]]`},
		{new(big.Int).Lsh(big.NewInt(1), 70), `1180591620717411303424`},
		{proto.Ref{Instance: 1, ID: 2}, `{"$ext":[7,{"$base64":"AAAAAAAAAAEAAAAAAAAAAg=="}]}`},
		{odd{}, `{"$type":"main.odd"}`},
	} {
		rec := someRecord
		rec.Value = c.value
		line, err := rec.line()
		want := strings.Replace(someLine, `"value":null`, `"value":`+c.want, 1)
		if err != nil || string(line) != want {
			t.Errorf("%#v:\n got %s, %v\nwant %s", c.value, line, err, want)
		}
	}
}

// Keys that would become the same text stay apart.
func TestKeysThatLookAlike(t *testing.T) {
	got := jsonable(map[any]any{int64(1): "a", "1": "b"})
	pairs := []any{[]any{int64(1), "a"}, []any{"1", "b"}}
	swapped := []any{pairs[1], pairs[0]}
	if !reflect.DeepEqual(got, pairs) && !reflect.DeepEqual(got, swapped) {
		t.Errorf("got %v", got)
	}
}

func TestDecoded(t *testing.T) {
	p, err := proto.Marshal(map[string]any{"n": 7, "b": []byte{1}})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"n": int64(7), "b": []byte{1}}
	if got := decoded(p); !reflect.DeepEqual(got, want) {
		t.Errorf("got %#v, want %#v", got, want)
	}
	if got := decoded(proto.Payload{Bytes: []byte{0xc1}}); !reflect.DeepEqual(got, []byte{0xc1}) {
		t.Errorf("got %#v", got)
	}
	if got := decoded(proto.Payload{}); got != nil {
		t.Errorf("got %#v", got)
	}
}
