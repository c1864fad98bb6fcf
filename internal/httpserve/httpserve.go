// Package httpserve serves HTTP for as long as a context lasts.
package httpserve

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"
)

// bye is how long requests may run on after the context's end.
const bye = time.Second

// Serve answers what l accepts, with server, until ctx is done. What runs then has
// a second to finish; after that its connections are closed, and a handler that
// does not end with its request's context outlives Serve. It closes l.
func Serve(ctx context.Context, server *http.Server, l net.Listener) error {
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), bye)
		defer cancel()
		if server.Shutdown(patience) != nil {
			_ = server.Close()
		}
	})
	err := server.Serve(l)
	if !stop() {
		<-stopped
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
