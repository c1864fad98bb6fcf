package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"
)

func interrupt(ctx context.Context, s *suite) error {
	l, err := s.shared(ctx)
	if err != nil {
		return err
	}
	if err := signalGroup(l, syscall.SIGINT); err != nil {
		return err
	}
	// Nothing happens, and that can only be seen by waiting.
	if l.gone(ctx, 500*time.Millisecond) == nil {
		return fmt.Errorf("after SIGINT it %w", l.Cause())
	}
	if err := l.lives(ctx); err != nil {
		return fmt.Errorf("after SIGINT: %w", err)
	}
	return nil
}

// signalGroup sends a signal to the process and all of its group, as a terminal and a
// service manager do.
func signalGroup(l *life, sig syscall.Signal) error {
	if err := syscall.Kill(-l.PID(), sig); err != nil {
		return fmt.Errorf("send it %s: %w", sig, err)
	}
	return nil
}

// busy sends n requests that take a moment, and returns when they were taken. In a
// conformance plugin they all run by then.
func (s *suite) busy(ctx context.Context, l *life, n int, takes time.Duration) ([]call, error) {
	var calls []call
	targets := s.targets()
	for i := range n {
		if s.conformant() {
			calls = append(calls, l.send("slow", encoded(map[string]any{"ms": takes.Milliseconds()}), time.Minute))
		} else {
			calls = append(calls, l.send(targets[i%len(targets)], []byte("{}"), moment))
		}
	}
	return calls, l.lives(ctx)
}

// finished waits for results of all calls.
func (s *suite) finished(ctx context.Context, l *life, calls []call) error {
	for _, c := range calls {
		r, err := l.wait(ctx, c, moment+patience)
		if err != nil {
			return err
		}
		if s.conformant() && r.Err != nil {
			return fmt.Errorf("a request that ran was answered %s", statusOf(r))
		}
	}
	return nil
}

func drain(ctx context.Context, s *suite) error {
	l, err := s.fresh(ctx, nil)
	if err != nil {
		return err
	}
	defer s.stop(l)
	calls, err := s.busy(ctx, l, 8, 300*time.Millisecond)
	if err != nil {
		return err
	}
	if err := signalGroup(l, syscall.SIGTERM); err != nil {
		return err
	}
	if !eventually(ctx, func() bool { bye, ended := l.wire.end(); return bye != nil || ended != nil }) {
		return fmt.Errorf("it said no goodbye within %s of SIGTERM", patience)
	}
	bye, _ := l.wire.end()
	if bye == nil {
		return fmt.Errorf("the stream ended without a goodbye%s", l.ending())
	}
	if bye.GetLast() < l.last {
		return fmt.Errorf("its goodbye says that number %d is the last that it took, and it has answered %d", bye.GetLast(), l.last)
	}
	late := l.send(absent, []byte("{}"), patience)
	if err := s.finished(ctx, l, calls); err != nil {
		return err
	}
	if err := l.over(ctx, patience); err != nil {
		return err
	}
	if _, ended := l.wire.end(); !errors.Is(ended, io.EOF) {
		return fmt.Errorf("the stream ended with an error: %w%s", ended, l.ending())
	}
	if r := <-late.results; !r.NotStarted && late.number > bye.GetLast() {
		return errors.New("it answered a request that came after its goodbye")
	}
	if err := l.wire.exactlyOne(l.last); err != nil {
		return err
	}
	return exitedWith0(s.stop(l))
}

func closing(ctx context.Context, s *suite) error {
	l, err := s.fresh(ctx, nil)
	if err != nil {
		return err
	}
	defer s.stop(l)
	calls, err := s.busy(ctx, l, 8, 300*time.Millisecond)
	if err != nil {
		return err
	}
	if err := l.wire.close(); err != nil {
		return fmt.Errorf("close the host's side: %w", err)
	}
	if err := s.finished(ctx, l, calls); err != nil {
		return err
	}
	if err := l.over(ctx, patience); err != nil {
		return err
	}
	if _, ended := l.wire.end(); !errors.Is(ended, io.EOF) {
		return fmt.Errorf("the stream ended with an error: %w%s", ended, l.ending())
	}
	return l.wire.exactlyOne(l.last)
}

func shutdown(ctx context.Context, s *suite) error {
	l, err := s.fresh(ctx, nil)
	if err != nil {
		return err
	}
	defer s.stop(l)
	if _, err := s.busy(ctx, l, 2, time.Minute); err != nil {
		return err
	}
	return exitedWith0(s.stop(l))
}

func hostGone(ctx context.Context, s *suite) error {
	l, err := s.fresh(ctx, nil)
	if err != nil {
		return err
	}
	defer s.stop(l)
	if _, err := s.busy(ctx, l, 2, time.Minute); err != nil {
		return err
	}
	if err := l.CloseStdin(); err != nil {
		return fmt.Errorf("close its stdin: %w", err)
	}
	return l.gone(ctx, 5*time.Second)
}

func exits(ctx context.Context, s *suite) error {
	l, err := s.fresh(ctx, nil)
	if err != nil {
		return err
	}
	defer s.stop(l)
	calls, err := s.busy(ctx, l, 1, time.Minute)
	if err != nil {
		return err
	}
	calls = append(calls, l.send("exit", []byte(`{"code":7}`), patience))
	if err := l.gone(ctx, patience); err != nil {
		return err
	}
	if cause := l.Cause(); cause.Error() != "exited with code 7" {
		return fmt.Errorf("the process %w", cause)
	}
	for _, c := range calls {
		select {
		case r := <-c.results:
			if !r.Crashed {
				return fmt.Errorf("a request was answered %s by a process that exited at once", statusOf(r))
			}
		case <-time.After(patience):
			return fmt.Errorf("request number %d has no end", c.number)
		}
	}
	return nil
}
