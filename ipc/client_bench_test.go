package ipc

import (
	"context"
	"testing"
)

// The helper "manager" serves a manager at the path that it is told.
func init() { helpers["manager"] = serveManager }

func serveManager(c *Conn) error {
	ctx := context.Background()
	var path string
	if err := c.Recv(ctx, &path); err != nil {
		return err
	}
	m, err := NewManager(ManagerOptions{})
	if err != nil {
		return err
	}
	defer m.Close()
	l, err := Listen(path, ConnOptions{})
	if err != nil {
		return err
	}
	defer l.Close()
	if err := c.Send(ctx, "listening"); err != nil {
		return err
	}
	go m.Serve(ctx, l)
	return c.Recv(ctx, &path)
}

// startManager starts a manager in another process.
func startManager(t testing.TB) (m *child, path string) {
	t.Helper()
	path = t.TempDir() + "/manager.sock"
	m = start(t, "manager")
	m.send(path)
	m.expect("listening")
	return m, path
}

func BenchmarkClient(b *testing.B) {
	_, path := startManager(b)
	c := connect(b, path, ConnectOptions{})
	v := mustCreate(b, c, "value", ManagedOptions{}, "i", 7)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	b.Run("one at a time", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Ask[int](ctx, c, v, "get"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("16 deep", func(b *testing.B) {
		b.ReportAllocs()
		var window [16]*Pending
		for i := range b.N {
			if p := window[i%16]; p != nil {
				if _, err := Await[int](ctx, p); err != nil {
					b.Fatal(err)
				}
			}
			window[i%16] = c.Start(v, "get")
		}
		for _, p := range window {
			if p != nil {
				p.Wait(ctx)
			}
		}
	})
	b.Run("batches of 100", func(b *testing.B) {
		b.ReportAllocs()
		batch := c.Batch()
		for range 100 {
			batch.Add(v, "get")
		}
		for i := 0; i < b.N; i += 100 {
			if _, err := batch.Do(ctx); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("4 goroutines", func(b *testing.B) {
		b.SetParallelism(2)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := Ask[int](ctx, c, v, "get"); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
}
