package host_test

import (
	"context"
	"testing"

	"golang.org/x/sys/unix"

	"rrhost/host"
	"rrhost/plugin"
)

// A program that has a host in it is closed to others from then on, as rrhost
// itself is.
func TestUndumpable(t *testing.T) {
	start(t, testConfig(t), host.WithHandler(plugin.Handle("divide", func(_ context.Context, in sum) (total, error) { return total{in.A}, nil })))
	if got, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); err != nil || got != 0 {
		t.Errorf("dumpable is %d, %v", got, err)
	}
}
