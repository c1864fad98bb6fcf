package cassandra

import (
	"strings"
	"testing"

	"rrhost/config"
	"rrhost/internal/testservices"
)

// What keeps a session from being made names its mend, once.
func TestConnectSaysWhatToDo(t *testing.T) {
	closed, err := testservices.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		set  func(*config.Cassandra)
		want string
	}{
		{"nobody there", func(*config.Cassandra) {}, "(hint: check hosts in [audit.cassandra], and username, password and tls)"},
		{"no such CA", func(c *config.Cassandra) { c.TLS = &config.TLS{CA: "nowhere.pem"} }, "(hint: make it, or name another)"},
		{"no such password", func(c *config.Cassandra) { c.Username, c.Password = "u", "file:nowhere" }, "(hint: make it, or name another)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := config.Config{Dir: t.TempDir(), Audit: config.Audit{Store: "cassandra"}}.WithDefaults()
			cfg.Audit.Cassandra.Hosts = []string{closed}
			tt.set(&cfg.Audit.Cassandra)
			_, err := connect(t.Context(), cfg, "")
			if err == nil || !strings.HasSuffix(err.Error(), tt.want) || strings.Count(err.Error(), "hint") != 1 {
				t.Errorf("connect = %v, want it to end with %q", err, tt.want)
			}
		})
	}
}
