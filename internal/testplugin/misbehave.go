package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"time"

	"rrhost/plugin"
)

// misbehave does what no handler should.
func misbehave(ctx context.Context, o Order, info plugin.Info, r *Report) error {
	switch o.Do {
	case "goexit":
		runtime.Goexit()
	case "exit":
		if !o.Once || info.Attempt <= 1 {
			os.Exit(o.MS)
		}
	case "crash":
		go func() { panic(o.Text) }()
		select {}
	case "print":
		fmt.Println(o.Text)
		fmt.Fprintln(os.Stderr, o.Text)
	case "wait":
		for {
			if _, err := os.Stat(o.Text); err == nil {
				return nil
			}
			select {
			case <-time.After(5 * time.Millisecond):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	case "env":
		r.Text = os.Getenv(o.Text)
	case "eat":
		for all := [][]byte{}; ; {
			if len(all) < o.MS {
				all = append(all, bytes.Repeat([]byte{1}, 1<<20))
				continue
			}
			<-ctx.Done()
			r.Text = strconv.Itoa(len(all))
			return ctx.Err()
		}
	case "fork":
		child := exec.Command("sleep", "600")
		if err := child.Start(); err != nil {
			return err
		}
		r.Text = strconv.Itoa(child.Process.Pid)
	default:
		return plugin.Errorf("unknown_order", "do: %q", o.Do)
	}
	return nil
}
