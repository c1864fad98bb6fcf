package host

import (
	"maps"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"rrhost/config"
	"rrhost/internal/guard"
)

// What config.toml says of plugins, and of one of them, reaches who supervises it.
func TestSupervision(t *testing.T) {
	cfg, err := config.Parse("etc/config.toml", []byte(`[[topic]]
name = "tax"
[host]
max_payload = "2MiB"
[plugins]
dir = "there"
trust = "strict"
verify = "lock"
env = ["HTTPS_PROXY"]
start_timeout = "7s"
[plugin.tax]
instances = 3
user = "somebody"
memory = "512MiB"
millicpus = 1500
open_files = 256
[plugin.tax.config]
rate = 19
`))
	if err != nil {
		t.Fatal(err)
	}
	c := supervision(cfg.WithDefaults(), "tax", nil)
	if c.Name != "tax" || filepath.Base(c.Dir) != "there" || !c.Strict || !c.Locked || !slices.Equal(c.Allowed, []string{"HTTPS_PROXY"}) ||
		c.StartTimeout != 7*time.Second || c.Instances != 3 {
		t.Errorf("%+v", c)
	}
	p := c.Process
	if want := (guard.Limits{Memory: 512 << 20, MilliCPUs: 1500, OpenFiles: 256}); p.Limits != want || p.User != "somebody" || p.MaxPayload != 2<<20 ||
		!maps.Equal(p.Settings, map[string]any{"rate": int64(19)}) || p.Env != nil {
		t.Errorf("%+v", p)
	}
	if got := c.Place("rate"); got != "etc/config.toml:18" {
		t.Errorf("rate is at %q", got)
	}
	c = supervision(config.Config{}.WithDefaults(), "tax", nil)
	if !c.Strict || c.Locked || c.Allowed != nil || c.Instances != 0 || c.Process.User != "" || c.Process.Limits != (guard.Limits{}) {
		t.Errorf("by default: %+v", c)
	}
}
