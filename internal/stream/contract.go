package stream

import goplugin "github.com/hashicorp/go-plugin"

// ProtocolVersion is the version of plugin/proto/handler.proto.
const ProtocolVersion = 1

// MaxMessageEnv is the environment variable that tells a plugin the largest
// gRPC message, in bytes.
const MaxMessageEnv = "RRHOST_MAX_MESSAGE"

// Handshake is what host and plugin must agree on. The cookie keeps a plugin
// that is started by hand from waiting for a host; it is no secret.
var Handshake = goplugin.HandshakeConfig{
	ProtocolVersion:  ProtocolVersion,
	MagicCookieKey:   "RRHOST_PLUGIN",
	MagicCookieValue: "handler/1",
}
