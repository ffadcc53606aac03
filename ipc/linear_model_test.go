package ipc

import (
	"fmt"

	"github.com/anishathalye/porcupine"
)

// What one process alone would see of a queue, a lock, a semaphore and a value. A model
// tells for a state and an operation whether its answer is right, and what the state is
// afterwards. Without an answer (the client was killed) everything is right.

// linearBound is how many items the queue may hold, and how many permits there are.
const linearBound = 3

type linearInput struct {
	what   linearOp
	arg    int
	client int
}

type linearOutput struct {
	how    int // 0: no answer
	answer int
}

func describeLinear(in, out any) string {
	i, o := in.(linearInput), out.(linearOutput)
	names := [...]string{
		"put", "try put", "get", "try get", "len", "acquire", "try acquire", "release",
		"value", "load", "store", "add", "swap", "die",
	}
	hows := [...]string{"no answer", "yes", "no", "late"}
	return fmt.Sprintf("client %d: %s %d: %s, %d", i.client, names[i.what], i.arg, hows[o.how], o.answer)
}

// queueState is the items in the queue, 0 behind the last.
type queueState [linearBound]int

func (s queueState) len() (n int) {
	for n < len(s) && s[n] != 0 {
		n++
	}
	return n
}

func (s queueState) put(v int) queueState {
	s[s.len()] = v
	return s
}

func (s queueState) get() queueState {
	copy(s[:], s[1:])
	s[len(s)-1] = 0
	return s
}

var queueModel = porcupine.Model{
	Init: func() any { return queueState{} },
	Step: func(state, in, out any) (bool, any) {
		s, i, o := state.(queueState), in.(linearInput), out.(linearOutput)
		full, empty := s.len() == linearBound, s.len() == 0
		switch i.what {
		case opPut, opTryPut:
			switch {
			case o.how == saidLate || o.how == 0 && full:
				return true, s
			case o.how == saidNo:
				return full, s
			case full:
				return false, s
			}
			return true, s.put(i.arg)
		case opGet, opTryGet:
			switch {
			case o.how == saidLate || o.how == 0 && empty:
				return true, s
			case o.how == saidNo:
				return empty, s
			case empty || o.how == said && s[0] != o.answer:
				return false, s
			}
			return true, s.get()
		case opLen:
			return o.how == 0 || o.answer == s.len(), s
		}
		return true, s // a death takes nothing with it but what a get had taken
	},
	DescribeOperation: describeLinear,
}

type lockState struct {
	holder int // client + 1
	token  int // of the last acquisition
	died   bool
}

var lockModel = porcupine.Model{
	Init: func() any { return lockState{} },
	Step: func(state, in, out any) (bool, any) {
		s, i, o := state.(lockState), in.(linearInput), out.(linearOutput)
		switch i.what {
		case opAcquire, opTryAcquire:
			switch {
			case o.how == saidLate || o.how == 0 && s.holder != 0:
				return true, s
			case o.how == saidNo:
				return s.holder != 0, s
			}
			next := lockState{holder: i.client + 1, token: s.token + 1}
			answer := 2 * next.token
			if s.died {
				answer++
			}
			return s.holder == 0 && (o.how == 0 || o.answer == answer), next
		case opRelease:
			if s.holder != i.client+1 {
				return o.how == 0, s
			}
			s.holder = 0
			return true, s
		case opDie:
			if s.holder == i.client+1 {
				return true, lockState{token: s.token, died: true}
			}
		}
		return true, s
	},
	DescribeOperation: describeLinear,
}

// semState is how many permits each client has.
type semState [linearClients]int

func (s semState) free() int {
	n := linearBound
	for _, held := range s {
		n -= held
	}
	return n
}

var semModel = porcupine.Model{
	Init: func() any { return semState{} },
	Step: func(state, in, out any) (bool, any) {
		s, i, o := state.(semState), in.(linearInput), out.(linearOutput)
		switch i.what {
		case opValue:
			return o.how == 0 || o.answer == s.free(), s
		case opAcquire, opTryAcquire:
			switch {
			case o.how == saidLate || o.how == 0 && s.free() == 0:
				return true, s
			case o.how == saidNo:
				return s.free() == 0, s
			case s.free() == 0:
				return false, s
			}
			s[i.client]++
		case opRelease:
			if s[i.client] == 0 {
				return o.how == 0, s
			}
			s[i.client]--
		case opDie:
			s[i.client] = 0
		}
		return true, s
	},
	DescribeOperation: describeLinear,
}

var valueModel = porcupine.Model{
	Init: func() any { return 0 },
	Step: func(state, in, out any) (bool, any) {
		s, i, o := state.(int), in.(linearInput), out.(linearOutput)
		switch i.what {
		case opLoad:
			return o.how == 0 || o.answer == s, s
		case opStore:
			return true, i.arg
		case opAdd:
			return o.how == 0 || o.answer == s+i.arg, s + i.arg
		case opSwap:
			switch {
			case s == i.arg:
				return o.how != saidNo, i.arg + 1
			default:
				return o.how != said, s
			}
		}
		return true, s
	},
	DescribeOperation: describeLinear,
}
