package proto

import (
	"testing"

	"github.com/vmihailenco/msgpack/v5"
)

type small struct {
	ID    int
	Name  string
	Score float64
	Tags  []string
}

var aSmall = small{12345, "ticket", 0.5, []string{"a", "b"}}

func BenchmarkMarshalInt(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Marshal(12345)
	}
}

func BenchmarkUnmarshalInt(b *testing.B) {
	p, _ := Marshal(12345)
	var v int
	b.ReportAllocs()
	for b.Loop() {
		Unmarshal(p, &v, Limits{})
	}
}

func BenchmarkMarshalStruct(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Marshal(&aSmall)
	}
}

func BenchmarkUnmarshalStruct(b *testing.B) {
	p, _ := Marshal(aSmall)
	b.ReportAllocs()
	for b.Loop() {
		var v small
		Unmarshal(p, &v, Limits{})
	}
}

func BenchmarkUnmarshalAny(b *testing.B) {
	p, _ := Marshal(aSmall)
	var v any
	b.ReportAllocs()
	for b.Loop() {
		Unmarshal(p, &v, Limits{})
	}
}

func BenchmarkMarshalBytes1M(b *testing.B) {
	v := make([]byte, 1<<20)
	b.SetBytes(1 << 20)
	b.ReportAllocs()
	for b.Loop() {
		Marshal(v)
	}
}

func BenchmarkUnmarshalBytes1M(b *testing.B) {
	p, _ := Marshal(make([]byte, 1<<20))
	var v []byte
	b.SetBytes(1 << 20)
	b.ReportAllocs()
	for b.Loop() {
		Unmarshal(p, &v, Limits{})
	}
}

func BenchmarkParseMessage(b *testing.B) {
	body := AppendRequest(nil, 1<<40, MethodRun, AppendRunParams(nil, Run{Task: "square", Args: Raw{5}, Ticket: "t-17", Attempt: 1}))
	b.ReportAllocs()
	for b.Loop() {
		ParseMessage(body, Limits{})
	}
}

func BenchmarkParseRun(b *testing.B) {
	p := Raw(AppendRunParams(nil, Run{Task: "square", Args: Raw{5}, Ticket: "t-17", Attempt: 1, Seq: 17}))
	b.ReportAllocs()
	for b.Loop() {
		ParseRun(p)
	}
}

func BenchmarkAppendRun(b *testing.B) {
	buf := make([]byte, 0, 256)
	r := Run{Task: "square", Args: Raw{5}, Ticket: "t-17", Attempt: 1, Seq: 17}
	b.ReportAllocs()
	for b.Loop() {
		AppendRunTail(append(AppendRunHead(AppendRequestHead(buf, 1<<40, MethodRun), r.Task), r.Args...), r)
	}
}

// The library alone, to compare with in the same run.

func BenchmarkLibraryMarshalStruct(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		msgpack.Marshal(&aSmall)
	}
}

func BenchmarkLibraryUnmarshalStruct(b *testing.B) {
	p, _ := msgpack.Marshal(&aSmall)
	b.ReportAllocs()
	for b.Loop() {
		var v small
		msgpack.Unmarshal(p, &v)
	}
}
