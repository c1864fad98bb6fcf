package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestWritable(t *testing.T) {
	dir := t.TempDir()
	file, shut := filepath.Join(dir, "file"), filepath.Join(dir, "shut")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(shut, 0o500); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		dir  string
		want bool
	}{
		{dir, true},
		{filepath.Join(dir, "to", "be", "made"), true},
		{file, false},
		{filepath.Join(file, "below"), false},
		{shut, os.Geteuid() == 0},
		{filepath.Join(shut, "below"), os.Geteuid() == 0},
	}
	for _, tt := range tests {
		if err := writable(tt.dir); (err == nil) != tt.want {
			t.Errorf("writable(%s) = %v, want %t", tt.dir, err, tt.want)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("%v, %v: something was made", entries, err)
	}
}
