package main

import (
	"context"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"rrhost/client"
)

// A load is what bench puts on a topic.
type load struct {
	request  client.Request
	inFlight int
	duration time.Duration // of starting requests, unless count is set
	count    int
}

// measured is what came of a load. Its fields are to be read when run is over.
type measured struct {
	load
	begun   time.Time
	elapsed time.Duration // from the first start to the last end

	mu      sync.Mutex // guards all below
	started int
	ended   int
	latency *hdrhistogram.Histogram // of what was answered ok, in microseconds
	errors  map[string]int64        // by name
}

// longest is the longest latency that is told exactly, to three digits.
const longest = 24 * time.Hour

func newMeasured(l load) *measured {
	return &measured{
		load: l, begun: time.Now(), errors: make(map[string]int64),
		latency: hdrhistogram.New(1, longest.Microseconds(), 3),
	}
}

// run sends until the load is done, and waits for the replies. When ctx ends
// before, requests in flight are given up and not counted.
func (m *measured) run(ctx context.Context, c *client.Client) {
	var workers sync.WaitGroup
	for range m.inFlight {
		workers.Go(func() {
			for ctx.Err() == nil && m.start() {
				begun := time.Now()
				_, err := c.Do(ctx, m.request)
				if ctx.Err() == nil {
					m.end(time.Since(begun), err)
				}
			}
		})
	}
	workers.Wait()
	m.elapsed = time.Since(m.begun)
}

// start tells whether one more request is due.
func (m *measured) start() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.count > 0 && m.started >= m.count || m.count == 0 && time.Since(m.begun) >= m.duration {
		return false
	}
	m.started++
	return true
}

func (m *measured) end(took time.Duration, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ended++
	if err != nil {
		m.errors[nameOf(err)]++
		return
	}
	_ = m.latency.RecordValue(min(took, longest).Microseconds()) // always in range
}

// progress is how much of the load is done, and of how much.
func (m *measured) progress() (done, all int64) {
	if m.count > 0 {
		m.mu.Lock()
		defer m.mu.Unlock()
		return int64(m.ended), int64(m.count)
	}
	return int64(min(time.Since(m.begun), m.duration)), int64(m.duration)
}
