package client

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"rrhost/internal/wire"
)

// BenchmarkCall measures what a caller waits for: seal, produce, a host that
// answers at once, consume, open; over a fake broker in the same process.
func BenchmarkCall(b *testing.B) {
	_, cfg := broker(b)
	serve(b, cfg, func(h *host, q request) { h.answer(q, wire.StatusOK, q.plain) })
	c := open1(b, cfg)
	payload := []byte(`{"a":10,"b":5,"pad":"` + strings.Repeat("x", 232) + `"}`)
	for _, inFlight := range []int{1, 256} {
		b.Run(fmt.Sprintf("in_flight=%d", inFlight), func(b *testing.B) {
			b.ReportAllocs()
			work := make(chan struct{})
			var wg sync.WaitGroup
			for range inFlight {
				wg.Go(func() {
					for range work {
						if _, err := c.Do(b.Context(), Request{Topic: testTopic, Payload: payload}); err != nil {
							b.Error(err)
						}
					}
				})
			}
			for b.Loop() {
				work <- struct{}{}
			}
			close(work)
			wg.Wait()
		})
	}
}
