package dispatch

import (
	"context"
	"sync"

	"github.com/hashicorp/go-hclog"

	"rrhost/internal/handler"
	"rrhost/internal/stream"
)

// A Local runs handlers in this process. It isolates nothing but panics.
type Local struct {
	handlers map[string]handler.Handler
	maxReply int
	logger   hclog.Logger
	wg       sync.WaitGroup

	mu      sync.Mutex // guards all below
	last    uint64
	cancels map[uint64]context.CancelFunc
}

// NewLocal makes an instance of handlers whose responses have at most maxReply
// bytes.
func NewLocal(handlers []handler.Handler, maxReply int, logger hclog.Logger) *Local {
	l := &Local{
		handlers: make(map[string]handler.Handler, len(handlers)), maxReply: maxReply, logger: logger,
		cancels: make(map[uint64]context.CancelFunc),
	}
	for _, h := range handlers {
		l.handlers[h.Name()] = h
	}
	return l
}

// Start implements [Instance].
func (l *Local) Start(r stream.Request, done func(stream.Result)) uint64 {
	ctx, cancel := context.WithDeadline(context.Background(), r.Deadline)
	l.mu.Lock()
	l.last++
	number := l.last
	l.cancels[number] = cancel
	l.mu.Unlock()
	l.wg.Go(func() {
		result := l.handlers[r.Handler].Run(ctx, r.Info, l.logger, r.Payload, l.maxReply)
		cancel()
		l.mu.Lock()
		delete(l.cancels, number)
		l.mu.Unlock()
		done(stream.Result{Result: result})
	})
	return number
}

// Cancel implements [Instance].
func (l *Local) Cancel(number uint64) {
	l.mu.Lock()
	cancel := l.cancels[number]
	l.mu.Unlock()
	if cancel != nil {
		cancel()
	}
}

// Close cancels what still runs and waits for it.
func (l *Local) Close() {
	l.mu.Lock()
	for _, cancel := range l.cancels {
		cancel()
	}
	l.mu.Unlock()
	l.wg.Wait()
}
