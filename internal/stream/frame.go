// Package stream is the one gRPC stream between host and plugin, from both
// ends: [Instance] is the host's, [Server] the plugin's.
//
// Each end has one writer that takes all that waits and sends it in one frame.
// So frames grow with load and stay alone without it: three times the requests
// of unary calls, and no request waits for company.
package stream

import (
	"time"

	"google.golang.org/grpc"
)

// Bounds of a frame. What is larger than all of it goes alone.
const (
	maxFrameItems = 256
	maxFrameBytes = 256 << 10
)

// itemOverhead is what a request or result costs in a frame beside its texts.
const itemOverhead = 64

// headroom is what a message may have beside one payload: headers are bounded
// to 8 KiB, errors to little more.
const headroom = 1 << 20

// window is the flow control window. It holds a largest payload and several
// full frames, so that a transfer doesn't wait for the other end to say "more";
// setting it also ends gRPC's pings to find one.
const window = 4 << 20

// maxHeaders bounds what a plugin may say beside messages, which is its errors, in
// bytes.
const maxHeaders = 64 << 10

// MaxMessage is the largest gRPC message that either end sends, in bytes, where
// payloads and replies have at most maxPayload.
func MaxMessage(maxPayload int) int {
	return max(maxPayload, maxFrameBytes) + headroom
}

// DialOptions are the host's, for messages of at most maxMessage bytes and a
// plugin with this token.
func DialOptions(maxMessage int, secret string) []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithPerRPCCredentials(token(secret)),
		grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(maxMessage),
			grpc.MaxCallSendMsgSize(maxMessage),
		),
		grpc.WithMaxHeaderListSize(maxHeaders),
		grpc.WithInitialWindowSize(window),
		grpc.WithInitialConnWindowSize(window),
		grpc.WithReadBufferSize(bufferSize),
		grpc.WithWriteBufferSize(bufferSize),
	}
}

// ServerOptions are the plugin's, for messages of at most maxMessage bytes. Calls
// without the token are refused; where it is empty, as from an older host, none
// is.
func ServerOptions(maxMessage int, secret string) []grpc.ServerOption {
	opts := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxSendMsgSize(maxMessage),
		grpc.InitialWindowSize(window),
		grpc.InitialConnWindowSize(window),
		grpc.ReadBufferSize(bufferSize),
		grpc.WriteBufferSize(bufferSize),
	}
	if secret != "" {
		opts = append(opts, token(secret).serverOptions()...)
	}
	return opts
}

const bufferSize = 64 << 10

// microseconds of d, at least 1: zero would mean "no deadline" to a reader that
// doesn't look closely.
func microseconds(d time.Duration) uint64 {
	return uint64(max(d.Microseconds(), 1))
}
