package process

import (
	"context"
	"errors"
	"net"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"rrhost/internal/attach"
	"rrhost/internal/stream"
)

// An Attached is a plugin whose process somebody else started and ends, and that
// this host only uses.
type Attached struct {
	p   *Process
	pid int
}

// Attach connects to the plugin that listens at path, and takes it to ready as
// [Start] does. Of cfg it uses what is about the stream. [attach.Absent] tells
// whether an error only means that nobody listens yet. ctx bounds the start
// alone. After an error, no goroutine is left.
func Attach(ctx context.Context, cfg Config, path string) (*Attached, error) {
	first, err := attach.Dial(ctx, path)
	if err != nil {
		return nil, err
	}
	p := &Process{cfg: cfg.withDefaults(), over: make(chan struct{})}
	var used atomic.Bool
	p.conn, err = grpc.NewClient("passthrough:plugin", append(stream.DialOptions(stream.MaxMessage(p.cfg.MaxPayload), first.Token),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) {
			if used.Swap(true) {
				return nil, errors.New("the plugin has gone") // and another one is another life
			}
			return first, nil
		}))...)
	if err != nil {
		return nil, errors.Join(err, first.Close())
	}
	if err := p.open(ctx); err != nil {
		err = errors.Join(err, p.conn.Close())
		if !used.Load() {
			err = errors.Join(err, first.Close())
		}
		return nil, err
	}
	return &Attached{p, first.PID}, nil
}

// Instance is the stream to the process.
func (a *Attached) Instance() *stream.Instance { return a.p.instance }

// PID is the process's number, 0 where the system does not tell.
func (a *Attached) PID() int { return a.pid }

// Done is closed when the instance has ended: the process has, or it took its
// leave, or [Attached.Close] was called.
func (a *Attached) Done() <-chan struct{} { return a.p.over }

// Close lets go of the process, which goes on. Requests in flight crash: drain
// before. It returns, when no goroutine is left, why the instance ended.
func (a *Attached) Close() error {
	a.p.cancel()
	<-a.p.over
	_ = a.p.conn.Close() // there is nothing on it any more
	return a.p.cause
}
