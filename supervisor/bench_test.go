package supervisor

import "testing"

func benchmarkProcess(b *testing.B, s Spec) {
	checkLeaks(b)
	for b.Loop() {
		p, err := Start(s)
		if err != nil {
			b.Fatal(err)
		}
		<-p.Done()
		p.Close()
	}
}

// Start to Done of the smallest dynamic program: what a command costs at least.
func BenchmarkTrue(b *testing.B) { benchmarkProcess(b, Spec{Path: "/bin/true"}) }

// The same with both streams captured.
func BenchmarkTrueCaptured(b *testing.B) {
	checkLeaks(b)
	for b.Loop() {
		p, err := Start(Spec{Path: "/bin/true", Stdout: Output{Capture: &Capture{}}, Stderr: Output{Capture: &Capture{}}})
		if err != nil {
			b.Fatal(err)
		}
		<-p.OutputDone()
		p.Close()
	}
}

// Commands started side by side, all through the one launch thread.
func BenchmarkTrueParallel(b *testing.B) {
	checkLeaks(b)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			p, err := Start(Spec{Path: "/bin/true"})
			if err != nil {
				b.Error(err)
				return
			}
			<-p.Done()
			p.Close()
		}
	})
}

var nothingHelper = helper("nothing", func([]string) {})

// This program once more, and its end: what a worker costs before it does anything.
func BenchmarkReexec(b *testing.B) { benchmarkProcess(b, nothingHelper.spec()) }

func TestReexec(t *testing.T) {
	checkLeaks(t)
	if exit := ended(t, begin(t, nothingHelper.spec())); !exit.Success() {
		t.Error(exit)
	}
}
