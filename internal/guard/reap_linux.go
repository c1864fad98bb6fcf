package guard

import (
	"context"
	"os"
	"syscall"
	"time"
)

// reapLook is how often [Reap] looks for what nobody waits for.
const reapLook = 5 * time.Second

// Reap waits for orphans where this process is PID 1, as in a container without
// an init, until ctx is done: there they are its children, and stay in the table
// of processes until somebody has waited for them. Elsewhere it returns at once.
//
// It leaves alone who has been dead for less than five seconds: children that
// this process started itself are waited for by who started them, as soon as they
// end.
func Reap(ctx context.Context) {
	if os.Getpid() == 1 {
		reap(ctx, reapLook)
	}
}

func reap(ctx context.Context, every time.Duration) {
	look := time.NewTicker(every)
	defer look.Stop()
	var before map[process]bool
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		dead := make(map[process]bool)
		for _, p := range processes() {
			if p.parent != 1 || !p.zombie {
				continue
			}
			if before[p] {
				// An error means that somebody has waited for it just now.
				_, _ = syscall.Wait4(p.pid, nil, syscall.WNOHANG, nil)
				continue
			}
			dead[p] = true
		}
		before = dead
	}
}
