package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"rrhost/client"
)

// wrapper starts the real plugin as a child, and others that do all they can to
// stay.
const wrapper = `#!/bin/sh
setsid sleep 600 &
(setsid sh -c 'trap "" TERM HUP INT; (setsid sleep 600 &); exec sleep 600' &)
./testplugin
`

// A host that is killed leaves nothing of its plugins behind, and so does one
// that is asked to stop: no process, no guardian, no folder of sockets in use.
func TestNothingOutlivesTheHost(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, embedded, layout{topics: "[[topic]]\nname = \"work-@\"\nplugin = \"wrapped\"\nhandler = \"work\"\n"})
			folder := filepath.Join(s.dir, "plugins", "wrapped")
			if err := os.Mkdir(folder, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := copyFile(filepath.Join(folder, "testplugin"), program(t, "testplugin")); err != nil {
				t.Fatal(err)
			}
			s.write("plugins/wrapped/plugin.toml", "command = [\"./wrapper.sh\"]\n")
			s.write("plugins/wrapped/wrapper.sh", wrapper)
			if err := os.Chmod(filepath.Join(folder, "wrapper.sh"), 0o700); err != nil {
				t.Fatal(err)
			}
			p := s.start()
			c := s.client(client.WithDefaultTimeout(30 * time.Second))
			got, err := client.Call[report](t.Context(), c, s.topic("work"), order{Nonce: "n"})
			if err != nil || got.F != f("n") {
				t.Fatalf("%+v, %v", got, err)
			}
			// Guardian, wrapper, plugin and the three sleepers.
			var below []int
			until(t, 10*time.Second, func() string {
				if below = descendants(p.cmd.Process.Pid); len(below) < 6 || !slices.Contains(below, got.PID) {
					return fmt.Sprintf("below the host are %v, the plugin is %d", below, got.PID)
				}
				return ""
			})
			if err := p.cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			limit := 2 * time.Second
			if signal == syscall.SIGTERM {
				<-p.ended
				limit = 0
			}
			until(t, limit, func() string {
				if left := living(below); left != nil {
					return fmt.Sprintf("of %v there are left %v", below, left)
				}
				return ""
			})
		})
	}
}

// parents of all processes that are no zombies.
func parents() map[int]int {
	of := make(map[int]int)
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // a pattern without faults
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // gone meanwhile
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if len(fields) > 1 && fields[0] != "Z" {
			of[pid], _ = strconv.Atoi(fields[1])
		}
	}
	return of
}

func descendants(of int) (list []int) {
	all := parents()
	for pid := range all {
		for up, ok := all[pid]; ok; up, ok = all[up] {
			if up == of {
				list = append(list, pid)
				break
			}
		}
	}
	return list
}

func living(pids []int) (list []int) {
	all := parents()
	for _, pid := range pids {
		if _, ok := all[pid]; ok {
			list = append(list, pid)
		}
	}
	return list
}
