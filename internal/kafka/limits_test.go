package kafka

import (
	"strings"
	"testing"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"rrhost/config"
	"rrhost/internal/wire"
)

// brokerSettings makes the brokers of c answer what settings they have.
func brokerSettings(c *kfake.Cluster, settings map[string]string, refused bool) {
	c.ControlKey(int16(kmsg.DescribeConfigs), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		q := req.(*kmsg.DescribeConfigsRequest)
		if q.Resources[0].ResourceType != kmsg.ConfigResourceTypeBroker {
			return nil, nil, false
		}
		resp := q.ResponseKind().(*kmsg.DescribeConfigsResponse)
		of := kmsg.NewDescribeConfigsResponseResource()
		of.ResourceType, of.ResourceName = q.Resources[0].ResourceType, q.Resources[0].ResourceName
		if refused {
			of.ErrorCode = kerr.ClusterAuthorizationFailed.Code
		}
		for name, value := range settings {
			entry := kmsg.NewDescribeConfigsResponseResourceConfig()
			entry.Name, entry.Value = name, &value
			of.Configs = append(of.Configs, entry)
		}
		resp.Resources = append(resp.Resources, of)
		return resp, nil, true
	})
}

func TestCheckLimits(t *testing.T) {
	tests := []struct {
		name     string
		settings map[string]string
		refused  bool
		want     []string // in the lines about payloads and brokers; first whether it is OK
	}{
		{"all wide enough", map[string]string{"socket.request.max.bytes": "104857600", "replica.fetch.max.bytes": "104857600"}, false,
			[]string{"ok payloads: up to host.max_payload, 67108864 bytes, pass"}},
		{"requests", map[string]string{"socket.request.max.bytes": "1000000"}, false,
			[]string{"wrong broker 0: socket.request.max.bytes is 1000000, host.max_payload needs 67183681"}},
		{"replicas", map[string]string{"replica.fetch.max.bytes": "1048576"}, false,
			[]string{"ok broker 0: replica.fetch.max.bytes is 1048576", "ok payloads: "}},
		{"not to be read", nil, true, []string{"ok broker 0: this login may not read its settings", "ok payloads: "}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, cfg := broker(t)
			cfg = withTopics(cfg)
			cfg.Host.MaxPayload = config.MaxMaxPayload
			brokerSettings(c, tt.settings, tt.refused)
			list, err := CheckTopics(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range list {
				if strings.Contains(f.Subject, "topic") {
					continue
				}
				line := "wrong "
				if f.OK {
					line = "ok "
				}
				got = append(got, line+f.Subject+": "+f.Problem)
				if f.OK == (f.Mend != "") {
					t.Errorf("finding %+v: something to mend means not ok, and the other way round", f)
				}
			}
			if len(got) != len(tt.want) {
				t.Fatalf("findings %q, want %q", got, tt.want)
			}
			for i := range got {
				if !strings.HasPrefix(got[i], tt.want[i]) {
					t.Errorf("finding %q, want %q", got[i], tt.want[i])
				}
			}
		})
	}
}

// What the largest payload needs is within what sarama sends and takes.
func TestLibraryLimits(t *testing.T) {
	need := MaxRecord(config.Config{Host: config.Host{MaxPayload: config.MaxMaxPayload}}) + requestOverhead
	if need >= int(sarama.MaxRequestSize) || need >= int(sarama.MaxResponseSize) {
		t.Errorf("a record of max_payload needs %d, sarama sends %d and takes %d", need, sarama.MaxRequestSize, sarama.MaxResponseSize)
	}
	l := limits{need: need}
	if l.library("sarama.MaxRequestSize", sarama.MaxRequestSize); l.wrong {
		t.Errorf("findings %+v", l.findings)
	}
	if l.library("sarama.MaxRequestSize", 1<<20); !l.wrong || !strings.Contains(l.findings[0].Problem, "sarama.MaxRequestSize is 1048576") {
		t.Errorf("findings %+v", l.findings)
	}
}

// A topic's timeout bounds what requesters ask for: what is longer would do nothing.
func TestLongestTimeoutIsTheWires(t *testing.T) {
	if config.MaxTimeout != wire.MaxTimeout {
		t.Errorf("a topic's timeout may be %s, a requester's %s", config.MaxTimeout, wire.MaxTimeout)
	}
}
