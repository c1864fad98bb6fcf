// Package load is what both sides of the benchmark share: the payloads and the
// closed loop that calls.
package load

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A Request is 255 bytes of JSON with the default pad.
type Request struct {
	A   int    `json:"a"`
	B   int    `json:"b"`
	Pad string `json:"pad"`
}

// A Response gives the pad back, which names its request.
type Response struct {
	Result int    `json:"result"`
	Pad    string `json:"pad"`
}

// Handle is the work of every worker.
func Handle(q Request) Response { return Response{Result: q.A + q.B, Pad: q.Pad} }

const pad = 232

// Flags are the settings of a requester.
type Flags struct {
	InFlight int
	Warmup   time.Duration
	Measure  time.Duration
}

// Register adds the flags to fs.
func (f *Flags) Register(fs *flag.FlagSet) {
	fs.IntVar(&f.InFlight, "in-flight", 256, "requests in flight")
	fs.DurationVar(&f.Warmup, "warmup", 3*time.Second, "time before measuring")
	fs.DurationVar(&f.Measure, "measure", 8*time.Second, "time measured")
}

// Result is what a requester prints, as a line of JSON.
type Result struct {
	PerSecond float64 `json:"per_second"`
	P50Micros int64   `json:"p50_us"`
	P99Micros int64   `json:"p99_us"`
	Errors    int64   `json:"errors"`
}

var errMismatch = errors.New("the reply is not the one to this request")

// Run calls do in a closed loop, checks every reply, and prints the result.
func (f Flags) Run(do func(ctx context.Context, q Request) (Response, error)) error {
	fill := strings.Repeat("x", pad)
	call := func(i int64) (time.Duration, error) {
		id := fmt.Sprintf("%010d", i)
		q := Request{A: 10, B: 5, Pad: id + fill[len(id):]}
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		start := time.Now()
		r, err := do(ctx, q)
		took := time.Since(start)
		if err == nil && (r.Result != 15 || r.Pad != q.Pad) {
			err = errMismatch
		}
		return took, err
	}
	if _, err := call(0); err != nil { // waits for the worker
		return fmt.Errorf("no worker answered: %w", err)
	}
	var (
		from = time.Now().Add(f.Warmup)
		to   = from.Add(f.Measure)
		next atomic.Int64
		bad  atomic.Int64
		mu   sync.Mutex // guards took
		took []time.Duration
		wg   sync.WaitGroup
	)
	for range f.InFlight {
		wg.Go(func() {
			var own []time.Duration
			for time.Now().Before(to) {
				d, err := call(next.Add(1))
				end := time.Now()
				if err != nil {
					if bad.Add(1) == 1 {
						fmt.Fprintln(os.Stderr, "first error:", err)
					}
					continue
				}
				if !end.Before(from) && end.Before(to) {
					own = append(own, d)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, own...)
		})
	}
	wg.Wait()
	if len(took) == 0 {
		return errors.New("nothing was answered")
	}
	slices.Sort(took)
	return json.NewEncoder(os.Stdout).Encode(Result{
		PerSecond: float64(len(took)) / f.Measure.Seconds(),
		P50Micros: took[len(took)/2].Microseconds(),
		P99Micros: took[len(took)*99/100].Microseconds(),
		Errors:    bad.Load(),
	})
}
