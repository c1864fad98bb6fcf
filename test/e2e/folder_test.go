package e2e

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"

	"rrhost/client"
	"rrhost/internal/testservices"
)

// Retention empties a topic, as far as it ever does, and the host starts again:
// stopped or killed, what comes next is answered.
func TestRequestAfterRetentionEmptiedTheTopic(t *testing.T) {
	testservices.Long(t)
	t.Parallel()
	s := newSite(t, embedded, layout{
		topics:  "[[topic]]\nname = \"work-@\"\nplugin = \"testplugin\"\nhandler = \"work\"\npartitions = 2\n",
		plugins: map[string]string{"testplugin": "testplugin"},
		more:    map[string]string{"embedded": "retention = \"1s\"\n"},
	})
	p := s.start()
	topic := s.topic("work")
	ask := func() {
		t.Helper()
		c := s.client(client.WithDefaultTimeout(30 * time.Second))
		for i := range int32(6) {
			nonce := uuid.NewString()
			got, err := client.Call[report](t.Context(), c, topic, order{Nonce: nonce}, client.WithKey(keyFor(i%2, 2)))
			if err != nil || got.F != f(nonce) {
				t.Fatalf("%+v, %v", got, err)
			}
		}
		s.awaitCommitted(topic)
	}
	var asked int64
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		ask()
		asked += 3 // in each partition
		s.end(p, signal)
		time.Sleep(1100 * time.Millisecond) // the retention, which has no condition to wait for
		p = s.start()
		// Of each partition only its newest batch is left, and no offset has
		// begun again.
		until(t, 20*time.Second, func() string {
			for at, end := range s.ends(topic) {
				if start := s.begins(topic)[at]; end != asked || start != end-1 {
					return at.describe("begins at", start, "and ends at", end)
				}
			}
			return ""
		})
	}
	ask()
	if problem := p.log(); strings.Contains(problem, "requests before the oldest record are lost") {
		t.Errorf("the host has lost its place:\n%s", p.tail())
	}
}

// begins are the offsets where the partitions begin.
func (s *site) begins(topic string) map[place]int64 {
	s.t.Helper()
	c := s.outside()
	defer c.Close()
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	listed, err := kadm.NewClient(c).ListStartOffsets(ctx, topic)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	begins := make(map[place]int64)
	listed.Each(func(o kadm.ListedOffset) { begins[place{topic: o.Topic, partition: o.Partition}] = o.Offset })
	return begins
}

// One folder is for one host: the second says so and ends, and the first goes on.
func TestSecondHostOnAFolderIsRefused(t *testing.T) {
	s := newSite(t, embedded, layout{
		topics:  "[[topic]]\nname = \"calc-@\"\nplugin = \"calculate\"\n",
		plugins: map[string]string{"calculate": "calculate"},
	})
	first := s.start()
	got := s.command(program(t, "rrhost"), "run", "--config", s.dir+"/config.toml")
	lines := strings.Split(strings.TrimSpace(got.stderr), "\n")
	said := strings.Join(lines[max(0, len(lines)-2):], "\n")
	if got.code != 1 || got.stdout != "" || !strings.Contains(said, "the data folder is in use") ||
		!strings.Contains(said, fmt.Sprintf("process %d", first.cmd.Process.Pid)) || !strings.Contains(said, "hint: ") {
		t.Errorf("a second host: %+v, want exit 1 and a sentence that names the first, with a hint", got)
	}
	if got := s.rrclient("request", s.topic("calc"), `{"a":10,"b":5}`); got.code != 0 || got.stdout != "{\"result\":15}\n" {
		t.Errorf("the first host: %+v", got)
	}
}
