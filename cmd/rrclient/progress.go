package main

import (
	"io"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"rrhost/cmd/internal/cli"
)

// showProgress draws a progress bar for m, if w is a terminal. What it returns
// ends the bar, and waits until it is gone.
func showProgress(w io.Writer, m *measured) (stop func()) {
	if !cli.IsTerminal(w) {
		return func() {}
	}
	done, all := m.progress()
	bars := mpb.New(mpb.WithOutput(w), mpb.WithWidth(40))
	bar := bars.AddBar(all, mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.Name(m.request.Topic)), mpb.AppendDecorators(decor.Percentage()))
	bar.SetCurrent(done)

	over := make(chan struct{})
	var drawer sync.WaitGroup
	drawer.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				// Short of all, since reaching it would end the bar.
				done, _ := m.progress()
				bar.SetCurrent(min(done, all-1))
			case <-over:
				bar.Abort(true)
				bars.Wait()
				return
			}
		}
	})
	return func() {
		close(over)
		drawer.Wait()
	}
}
