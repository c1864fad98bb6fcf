package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"rrhost/client"
	"rrhost/internal/testservices"
)

// Ten times as many requests as may run at once, each of which sleeps for five
// seconds, fill one partition; requests in another are answered as if alone.
func TestSleepersInOnePartitionDelayNoOther(t *testing.T) {
	testservices.Long(t)
	onBoth(t, func(t *testing.T, b backend) {
		const concurrency, partitions = 16, 4
		s := newSite(t, b, layout{
			topics: fmt.Sprintf("[[topic]]\nname = \"work-@\"\nplugin = \"testplugin\"\nhandler = \"work\"\npartitions = %d\nconcurrency = %d\ntimeout = \"2m\"\n",
				partitions, concurrency),
			plugins: map[string]string{"testplugin": "testplugin"},
			more:    map[string]string{"host": "drain_timeout = \"1s\"\n"}, // so many sleepers are not waited for
		})
		s.start()
		topic := s.topic("work")
		c := s.client(client.WithDefaultTimeout(patience))
		asleep, woke := keyFor(0, partitions), make(chan error, 10*concurrency)
		begun := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		var sleepers sync.WaitGroup
		defer sleepers.Wait()
		defer cancel() // not all are waited for: that would take a minute
		for range 10 * concurrency {
			sleepers.Go(func() {
				_, err := client.Call[report](ctx, c, topic, order{Do: "sleep", MS: 5000}, client.WithKey(asleep))
				woke <- err
			})
		}
		until(t, 30*time.Second, func() string {
			_, metrics := s.get("/metrics")
			for _, want := range []string{
				fmt.Sprintf(`rrhost_in_flight{partition="0",topic=%q} `, topic), fmt.Sprintf(`rrhost_waiting{partition="0",topic=%q} `, topic),
			} {
				if _, after, ok := strings.Cut(metrics, want); !ok || strings.HasPrefix(after, "0\n") {
					return "no sleepers run while others wait"
				}
			}
			return ""
		})

		var took []time.Duration
		for time.Since(begun) < 6*time.Second || len(took) < 100 || len(woke) == 0 {
			nonce, asked := uuid.NewString(), time.Now()
			key := keyFor(int32(1+len(took)%(partitions-1)), partitions)
			got, err := client.Call[report](t.Context(), c, topic, order{Nonce: nonce}, client.WithKey(key))
			if err != nil || got.F != f(nonce) {
				t.Fatalf("beside sleepers: %+v, %v", got, err)
			}
			took = append(took, time.Since(asked))
		}
		slices.Sort(took)
		median, most := took[len(took)/2], took[len(took)-1]
		t.Logf("%d requests beside sleepers: median %s, the slowest %s; %d of %d sleepers woke",
			len(took), median, most, len(woke), cap(woke))
		if most > 2500*time.Millisecond { // half of what they sleep
			t.Errorf("a request waited %s for sleepers in another partition", most)
		}
		if len(woke) == 0 || len(woke) == cap(woke) {
			t.Errorf("%d of %d sleepers have ended: the others were not beside sleepers", len(woke), cap(woke))
		}
	})
}
