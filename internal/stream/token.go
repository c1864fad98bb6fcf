package stream

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// TokenEnv is the environment variable that gives a plugin its token, see
// [NewToken].
const TokenEnv = "RRHOST_TOKEN"

// tokenKey is the metadata in which the host shows it, with every call.
const tokenKey = "rrhost-token"

// NewToken makes what one life of a plugin knows its host by: who reaches the
// socket alone can call nothing. It is a secret.
func NewToken() string {
	raw := make([]byte, 32)
	_, _ = rand.Read(raw) // never fails
	return hex.EncodeToString(raw)
}

// token is the host's side. As credentials of the connection it goes along with
// all calls, also those that go-plugin makes.
type token string

func (t token) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{tokenKey: string(t)}, nil
}

// RequireTransportSecurity is false: the connection is a socket on this machine,
// and who serves it was looked at.
func (token) RequireTransportSecurity() bool { return false }

// check is the plugin's side.
func (t token) check(ctx context.Context) error {
	got := metadata.ValueFromIncomingContext(ctx, tokenKey)
	if len(got) != 1 || subtle.ConstantTimeCompare([]byte(got[0]), []byte(t)) != 1 {
		return status.Error(codes.Unauthenticated, "this plugin answers its own host alone")
	}
	return nil
}

func (t token) serverOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
			if err := t.check(ctx); err != nil {
				return nil, err
			}
			return handle(ctx, req)
		}),
		grpc.ChainStreamInterceptor(func(srv any, s grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
			if err := t.check(s.Context()); err != nil {
				return err
			}
			return handle(srv, s)
		}),
	}
}
