package host_test

import (
	"strings"
	"testing"
	"time"

	"rrhost/client"
	"rrhost/config"
	"rrhost/host"
	"rrhost/internal/discovery"
	"rrhost/plugin"
)

// announced reads what hosts have announced by now.
func announced(t *testing.T, cfg config.Config) []discovery.Record {
	t.Helper()
	var hosts discovery.Hosts
	r, err := discovery.Read(cfg, hosts.Add)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	select {
	case <-r.CaughtUp():
	case <-time.After(20 * time.Second):
		t.Fatal("the control topic has no end")
	}
	return hosts.List(time.Now())
}

// What a host serves is known to whoever reads the control topic, and to whoever
// asks; a ping is neither counted nor seen by the handler.
func TestHostTellsWhatItServes(t *testing.T) {
	cfg := testConfig(t)
	cfg.Audit.Store = "none"
	start(t, cfg, host.WithHandler(plugin.Handle("calculate", calculate)))
	c := open(t, cfg)
	if _, err := client.Call[total](t.Context(), c, "calculate", sum{1, 2}); err != nil {
		t.Fatal(err)
	}
	pong, err := c.Ping(t.Context(), "calculate")
	if err != nil || pong.State != "ready" || pong.Plugin != "in-process" || pong.Handler != "calculate" || pong.Host == "" {
		t.Fatalf("Ping = %+v, %v", pong, err)
	}
	list := announced(t, cfg)
	if len(list) != 1 || list[0].Host != pong.Host || list[0].Announcement.Name != pong.Name {
		t.Fatalf("announced are %+v, and host %s answers", list, pong.Host)
	}
	topics := list[0].Announcement.Topics
	if len(topics) != 1 || topics[0].Name != "calculate" || topics[0].State != "ready" || topics[0].Handler != "calculate" ||
		topics[0].TimeoutMS != config.DefaultTimeout.Milliseconds() || len(topics[0].Request) == 0 || len(topics[0].Response) == 0 {
		t.Errorf("announced are %+v", topics)
	}
	code, metrics := get(t, "http://"+cfg.Admin.Listen+"/metrics")
	if code != 200 || !strings.Contains(metrics, `rrhost_requests_total{status="ok",topic="calculate"} 1`) {
		t.Errorf("of one call and one ping, there is counted:\n%s", metrics)
	}
}

// Where nothing is to be announced, nothing is, and pings are answered all the
// same.
func TestHostTellsNothing(t *testing.T) {
	cfg := testConfig(t)
	cfg.Audit.Store = "none"
	cfg.Discovery.Topic = "off"
	start(t, cfg, host.WithHandler(plugin.Handle("calculate", calculate)))
	c := open(t, cfg)
	if _, err := c.Ping(t.Context(), "calculate"); err != nil {
		t.Error(err)
	}
	if _, err := client.Open(t.Context(), cfg, client.WithFailFast()); err == nil || !strings.Contains(err.Error(), "no control topic") {
		t.Errorf("Open with fail-fast = %v", err)
	}
	cfg.Discovery.Topic = ""
	if _, err := client.Open(t.Context(), cfg, client.WithFailFast()); err == nil || !strings.Contains(err.Error(), "topic rr.control: the topic does not exist") {
		t.Errorf("Open with fail-fast, without the topic = %v", err)
	}
}
