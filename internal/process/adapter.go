package process

import (
	"context"
	"errors"
	"sync"

	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
)

// adapter satisfies go-plugin, which wants to know what to dispense: the host
// uses the connection itself.
type adapter struct {
	goplugin.NetRPCUnsupportedPlugin
}

func (*adapter) GRPCServer(*goplugin.GRPCBroker, *grpc.Server) error {
	return errors.New("the host serves nothing")
}

func (*adapter) GRPCClient(_ context.Context, _ *goplugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return conn, nil
}

// lineLog brings what a Go plugin prints with fmt.Println into the log: go-plugin
// takes its os.Stdout and os.Stderr over and sends them through the connection.
type lineLog struct {
	p      *Process
	stream string

	mu   sync.Mutex
	line []byte
	out  output
}

func (l *lineLog) Write(text []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.out.logger == nil {
		l.out.logger, l.out.tail = l.p.cmd.out.logger, l.p.cmd.out.tail
	}
	for _, b := range text {
		switch {
		case b == '\n':
			l.out.text(l.stream, l.line, false)
			l.line = l.line[:0]
		case len(l.line) < maxLine:
			l.line = append(l.line, b)
		}
	}
	return len(text), nil
}
