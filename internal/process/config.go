package process

import (
	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"

	"rrhost/internal/guard"
	"rrhost/internal/stream"
)

// Config is how to start a plugin. Zero values mean the defaults.
type Config struct {
	// Name, Version identify the plugin in logs.
	Name, Version string
	// Path is the executable; Dir its working directory.
	Path, Dir string
	// Origin is what Path is a copy of, for messages. Defaults to Path.
	Origin string
	// Folder is the plugin's own, above Dir. It is opened for the plugin's user and
	// closed to others. Empty: no folder is changed.
	Folder string
	// Args are the executable's arguments.
	Args []string
	// Env lists the host's environment variables that the plugin gets, beside
	// PATH, HOME, TMPDIR, LANG and TZ.
	Env []string
	// MaxPayload bounds requests' and responses' payloads, in bytes.
	// Defaults to [DefaultMaxPayload].
	MaxPayload int
	// Settings is the plugin's own section of the configuration.
	Settings map[string]any
	// NoTLS turns AutoMTLS off, for plugins whose TLS stack has no P-521. The
	// socket's folder and the check of who listens remain.
	NoTLS bool
	// User is whom the plugin runs as, by name or number, where the host is root.
	// Empty: as the host.
	User string
	// Limits bound the plugin and what it starts.
	Limits guard.Limits
	// Logger gets what the plugin prints. Defaults to none.
	Logger hclog.Logger
	// Tail keeps the last of it. Nil: nothing does.
	Tail *Tail
	// Accept may refuse the plugin for what it says of itself, before it gets its
	// settings. Nil: none is refused.
	Accept func(stream.About) error
	// DialOptions are added to the connection's, such as interceptors for who
	// wants to watch it.
	DialOptions []grpc.DialOption
}

func (c Config) withDefaults() Config {
	if c.MaxPayload == 0 {
		c.MaxPayload = DefaultMaxPayload
	}
	if c.Origin == "" {
		c.Origin = c.Path
	}
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	return c
}
