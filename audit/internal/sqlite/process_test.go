package sqlite

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"rrhost/audit/internal/storetest"
	"rrhost/audit/internal/trail"
)

// The test binary is also the other process: a writer to kill, or a reader.
func TestMain(m *testing.M) {
	switch path := os.Getenv("AUDIT_TEST_PATH"); os.Getenv("AUDIT_TEST_ROLE") {
	case "writer":
		fail(writeForEver(path))
	case "reader":
		fail(readOnce(path))
	default:
		goleak.VerifyTestMain(m)
	}
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func process(t *testing.T, role, path string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(self)
	c.Env = append(os.Environ(), "AUDIT_TEST_ROLE="+role, "AUDIT_TEST_PATH="+path)
	return c
}

// writeForEver writes rows and, with them, how many there are, and prints that
// once it is stored.
func writeForEver(path string) error {
	ctx := context.Background()
	s, err := Open(ctx, path, storetest.TTL)
	if err != nil {
		return err
	}
	known, err := s.Positions(ctx)
	if err != nil {
		return err
	}
	next := int64(0)
	if len(known) > 0 {
		next = known[0].Next
	}
	for {
		rows := storetest.Rows(50)
		for i := range rows {
			rows[i].Topic, rows[i].Partition, rows[i].Offset = "echo", 0, next
			rows[i].Payload = make([]byte, 3000)
			next++
		}
		if err := s.Write(ctx, rows, []trail.Position{{Topic: "echo", Next: next}}); err != nil {
			return err
		}
		fmt.Println(next)
	}
}

func readOnce(path string) error {
	s, err := OpenReader(context.Background(), path)
	if err != nil {
		return err
	}
	defer s.Close()
	page, err := s.ByTime(context.Background(), trail.Query{From: time.UnixMilli(0), To: time.Now().Add(time.Hour), Limit: 10_000})
	if err != nil {
		return err
	}
	if _, err := s.read.Exec("DELETE FROM rows"); err == nil {
		return errors.New("a reader can write")
	}
	fmt.Println(len(page.Rows))
	return nil
}

func TestKilledBetweenRowsAndPosition(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.db")
	acknowledged := ""
	for round := range 5 {
		c := process(t, "writer", path)
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; n < 3+round && lines.Scan(); n++ {
			acknowledged = lines.Text()
		}
		if err := c.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() { // what it had printed before it died counts too
			acknowledged = lines.Text()
		}
		_ = c.Wait() // it was killed

		s, err := Open(t.Context(), path, storetest.TTL)
		if err != nil {
			t.Fatal(err)
		}
		var rows, last int64
		if err := s.read.QueryRow("SELECT count(*), max(off) FROM rows").Scan(&rows, &last); err != nil {
			t.Fatal(err)
		}
		var sound string
		if err := s.read.QueryRow("PRAGMA integrity_check").Scan(&sound); err != nil || sound != "ok" {
			t.Fatalf("integrity: %s, %v", sound, err)
		}
		positions, err := s.Positions(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
		next := positions[0].Next
		if rows != next || last != next-1 {
			t.Fatalf("round %d: %d rows up to %d, and the position is %d", round, rows, last, next)
		}
		var want int64
		if _, err := fmt.Sscan(acknowledged, &want); err != nil || next < want {
			t.Fatalf("round %d: position %d is before the acknowledged %s", round, next, acknowledged)
		}
	}
}

func TestReadFromAnotherProcess(t *testing.T) {
	s := openTemp(t)
	ask := func() string {
		t.Helper()
		var out, problem strings.Builder
		c := process(t, "reader", s.path)
		c.Stdout, c.Stderr = &out, &problem
		if err := c.Run(); err != nil {
			t.Fatalf("reader: %v: %s", err, problem.String())
		}
		return strings.TrimSpace(out.String())
	}
	if err := s.Write(t.Context(), storetest.Rows(100), nil); err != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan error)
	go func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				stopped <- nil
				return
			default:
			}
			rows := storetest.Rows(1)
			rows[0].Offset = int64(1000 + n)
			if err := s.Write(context.Background(), rows, []trail.Position{{Topic: "calculate", Next: int64(n)}}); err != nil {
				stopped <- err
				return
			}
		}
	}()
	if got := ask(); len(got) < 3 {
		t.Errorf("while the host writes, a reader sees %s rows", got)
	}
	close(stop)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := ask(); len(got) < 3 {
		t.Errorf("without a host, a reader sees %s rows", got)
	}
}
