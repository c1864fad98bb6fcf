package e2e

import (
	"fmt"
	"os"
	"os/exec"
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
			<-p.ended
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

// A host that is PID 1, as in a container, waits for what others leave it.
func TestHostReapsAsPID1(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"unshare", "nsenter"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(err)
		}
	}
	namespace := []string{"unshare", "--pid", "--fork", "--kill-child=TERM", "--mount-proc"}
	if text, err := exec.Command(namespace[0], append(namespace[1:], "true")...).CombinedOutput(); err != nil {
		t.Skipf("no namespace can be made here: %v %s", err, text)
	}
	s := newSite(t, embedded, layout{topics: "[[topic]]\nname = \"echo\"\n", plugins: map[string]string{"echo": "echo"}})
	s.write("host.sh", fmt.Sprintf("#!/bin/sh\nexec %s %q \"$@\"\n", strings.Join(namespace, " "), program(t, "rrhost")))
	if err := os.Chmod(filepath.Join(s.dir, "host.sh"), 0o700); err != nil {
		t.Fatal(err)
	}
	p := s.awaitReady(s.launch(filepath.Join(s.dir, "host.sh")))
	host := 0
	for pid, parent := range parents() {
		if parent == p.cmd.Process.Pid {
			host = pid
		}
	}
	gate := filepath.Join(s.dir, "gate")
	script := fmt.Sprintf("(while [ ! -e %q ]; do sleep 0.01; done >/dev/null 2>&1 &)", gate)
	if got := s.command("nsenter", "--pid", "--target", strconv.Itoa(host), "sh", "-c", script); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	orphan := 0
	until(t, 10*time.Second, func() string {
		for pid, parent := range parents() {
			if line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err == nil && parent == host && strings.Contains(string(line), gate) {
				orphan = pid
				return ""
			}
		}
		return "the orphan is not the host's"
	})
	s.write("gate", "")
	until(t, 30*time.Second, func() string {
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", orphan)); err == nil {
			return "nobody waits for the orphan"
		}
		return ""
	})
	if err := syscall.Kill(host, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-p.ended
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("the host ends with %d", code)
	}
}
