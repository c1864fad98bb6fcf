package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"rrhost/internal/guard"
)

// BenchmarkGuardian is what a guardian costs beside its plugin. It is here because a
// guardian is the host's whole program, of which this test is as good as a copy.
//
//	go test -run '^$' -bench Guardian ./cmd/rrhost
func BenchmarkGuardian(b *testing.B) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer null.Close()
	path, err := exec.LookPath("true")
	if err != nil {
		b.Skip(err)
	}
	var guarded, bare, cpu time.Duration
	var memory int64
	for b.Loop() {
		before, start := childrensTime(b), time.Now()
		c, err := guard.Start(b.Context(), guard.Program{Name: "true", Path: path, Dir: "/", Stdin: null, Stdout: null, Stderr: null})
		if err != nil {
			b.Fatal(err)
		}
		_ = c.Wait() // how it ended
		guarded += time.Since(start)
		between, start := childrensTime(b), time.Now()
		if err := exec.Command(path).Run(); err != nil {
			b.Fatal(err)
		}
		bare += time.Since(start)
		cpu += (between - before) - (childrensTime(b) - between)
	}
	n := float64(b.N)
	b.ReportMetric(float64((guarded-bare).Microseconds())/1e3/n, "ms/start")
	b.ReportMetric(float64(cpu.Microseconds())/1e3/n, "cpu-ms/start")
	if memory, err = ownMemory(b, null); err != nil {
		b.Logf("its memory can be seen by root alone: %v", err)
		return
	}
	b.ReportMetric(float64(memory)/1e6, "MB")
}

// childrensTime is the processor's that all ended children have had.
func childrensTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// ownMemory is what a guardian that waits holds in bytes, without what is its
// program's file.
func ownMemory(b *testing.B, null *os.File) (int64, error) {
	b.Helper()
	path, err := exec.LookPath("sleep")
	if err != nil {
		return 0, err
	}
	c, err := guard.Start(b.Context(), guard.Program{
		Name: "sleep", Path: path, Args: []string{"600"}, Dir: "/", Stdin: null, Stdout: null, Stderr: null,
	})
	if err != nil {
		return 0, err
	}
	defer func() {
		c.Kill()
		_ = c.Wait() // it was killed
	}()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.PID))
	if err != nil {
		return 0, err
	}
	_, rest, _ := bytes.Cut(status, []byte("PPid:"))
	parent := strings.Fields(string(rest))[0]
	maps, err := os.ReadFile(filepath.Join("/proc", parent, "smaps_rollup"))
	if err != nil {
		return 0, err
	}
	var sum int64
	for line := range strings.Lines(string(maps)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "Private_Dirty:" {
			kB, err := strconv.ParseInt(f[1], 10, 64)
			if err != nil {
				return 0, err
			}
			sum += kB << 10
		}
	}
	return sum, nil
}
