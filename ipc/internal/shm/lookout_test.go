package shm

import (
	"errors"
	"testing"
	"time"
)

// Who looks in vain looks more and more seldom, until it is of use again.
func TestLookoutInVain(t *testing.T) {
	if spins == 0 {
		t.Skip("one processor")
	}
	var p Lookout
	looked := false
	vain := func() (bool, error) { looked = true; return false, nil }
	times := 0
	for range 1000 {
		looked, p.until = false, time.Time{} // this process may well be put aside
		if ok, err := p.Look(vain); ok || err != nil {
			t.Fatal(ok, err)
		}
		if looked {
			times++
		}
	}
	if times > 2*1000/(1<<mostVain) { // those at whose end it is put aside count for nothing
		t.Errorf("looked %d times of 1000 in vain", times)
	}
	found := func() (bool, error) { looked = true; return true, nil }
	for looked = false; !looked; {
		p.until = time.Time{}
		p.Look(found)
	}
	for i := range 10 {
		looked, p.until = false, time.Time{}
		if ok, _ := p.Look(found); !ok && p.skip > 0 {
			t.Errorf("does not look although it found something %d times", i+1)
		}
	}
	broken := errors.New("broken")
	if ok, err := p.Look(func() (bool, error) { return false, broken }); ok || err != broken {
		t.Errorf("an error: %v, %v", ok, err)
	}
}

// Who was put aside while it looked leaves the processor to others for a while.
func TestLookoutPutAside(t *testing.T) {
	if spins == 0 {
		t.Skip("one processor")
	}
	var p Lookout
	aside := func() (bool, error) {
		for begin := time.Now(); time.Since(begin) <= asideAfter; {
		}
		return true, nil
	}
	if ok, err := p.Look(aside); !ok || err != nil {
		t.Fatal(ok, err)
	}
	p.until = p.until.Add(time.Hour)
	if ok, err := p.Look(func() (bool, error) { t.Error("looked"); return true, nil }); ok || err != nil {
		t.Error(ok, err)
	}
}
