package supervisor

import (
	"context"
	"strings"
	"time"
)

// launch is the launcher of real processes, and of Supervisors within this one.
func (o SupervisorOptions) launch(ctx context.Context, c ChildSpec, s signs) (runner, func(), error) {
	if c.Tree != nil {
		tree := *c.Tree
		tree.nested = true
		sub, err := NewSupervisor(ctx, tree)
		if err != nil {
			return nil, nil, err
		}
		return subtree{sub}, func() {}, nil
	}
	spec := o.spec(c, s)
	if !c.Ready.Notify && !c.Liveness.notify() {
		p, err := c.Program.start(spec)
		if err != nil { // a nil *Process in an interface is not nil
			return nil, nil, err
		}
		return p, func() {}, nil
	}
	n, err := listenNotify(s)
	if err != nil {
		return nil, nil, err
	}
	spec.Env = n.environ(spec, c.Liveness.Every)
	p, err := c.Program.start(spec)
	if err != nil {
		n.conn.Close()
		return nil, nil, err
	}
	n.pid = p.PID()
	go n.read()
	return p, n.close, nil
}

// spec is how the process is run, when its output is heard.
func (o SupervisorOptions) spec(c ChildSpec, s signs) Spec {
	spec := c.Program.spec()
	if c.Ready.Line != "" {
		spec.Stdout.Lines = watchLine(spec.Stdout.Lines, c.Ready.Line, s.ready)
	}
	if e := spec.Stderr; !e.Inherit && e.File == nil && !e.piped() {
		spec.Stderr.Tail = true
		if o.Logger != nil {
			spec.Stderr.Lines = logLines(o.Logger.Named(c.ID))
		}
	}
	return spec
}

// watchLine gives a sign at the first line that contains text, and passes all lines on.
func watchLine(f LineFunc, text string, sign chan<- struct{}) LineFunc {
	seen := false
	return func(line []byte, final bool) {
		if !seen && strings.Contains(string(line), text) {
			seen = true
			give(sign)
		}
		if f != nil {
			f(line, final)
		}
	}
}

// subtree is a Supervisor as the child of another.
type subtree struct{ s *Supervisor }

func (t subtree) PID() int                    { return 0 }
func (t subtree) Done() <-chan struct{}       { return t.s.Done() }
func (t subtree) OutputDone() <-chan struct{} { return t.s.Done() }
func (t subtree) Close() error                { return nil }

// Exit is a clean one unless the Supervisor gave up.
func (t subtree) Exit() (e Exit, ended bool) {
	select {
	case <-t.s.Done():
	default:
		return e, false
	}
	if t.s.Err() != nil {
		e.Code = exitFailed
	}
	return e, true
}

func (t subtree) StderrTail() []string {
	if err := t.s.Err(); err != nil {
		return []string{err.Error()}
	}
	return nil
}

// Stop ends the Supervisor as it ends by itself; a grace below 0, and the end of ctx, cut the graces of its children.
func (t subtree) Stop(ctx context.Context, grace time.Duration) (Exit, error) {
	t.s.Terminate()
	if grace >= 0 {
		select {
		case <-t.s.Done():
		case <-ctx.Done():
		}
	}
	t.s.Kill()
	<-t.s.Done()
	e, _ := t.Exit()
	return e, nil
}
