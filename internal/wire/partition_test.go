package wire

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

const partitionsFile = "testdata/partitions.json"

// partitionVectors is the file that requesters in other languages test against.
// docs/wire.md has the same table.
type partitionVectors struct {
	Description []string          `json:"description"`
	Cases       []partitionVector `json:"cases"`
}

type partitionVector struct {
	Key     string `json:"key"`
	Murmur2 int32  `json:"murmur2"`
	// The partition in a topic of 16; and in one of 12, which takes all of the
	// hash's bits and not the last few.
	Of16 int32 `json:"of_16"`
	Of12 int32 `json:"of_12"`
}

func readPartitionVectors(t testing.TB) partitionVectors {
	t.Helper()
	text, err := os.ReadFile(partitionsFile)
	if err != nil {
		t.Fatal(err)
	}
	var v partitionVectors
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("read %s: %v", partitionsFile, err)
	}
	if len(v.Cases) < 14 {
		t.Fatalf("%s has %d cases: some are lost", partitionsFile, len(v.Cases))
	}
	return v
}

func TestMurmur2(t *testing.T) {
	for _, v := range readPartitionVectors(t).Cases {
		if got := int32(murmur2([]byte(v.Key))); got != v.Murmur2 {
			t.Errorf("murmur2(%q) = %d, want %d", v.Key, got, v.Murmur2)
		}
		for n, want := range map[int32]int32{16: v.Of16, 12: v.Of12} {
			if got := Partition([]byte(v.Key), n); got != want {
				t.Errorf("Partition(%q, %d) = %d, want %d", v.Key, n, got, want)
			}
		}
	}
}

// FuzzPartition compares with another implementation of the Java client's
// choice.
func FuzzPartition(f *testing.F) {
	for _, v := range readPartitionVectors(f).Cases {
		for _, n := range []int32{1, 3, 16, 1<<31 - 1} {
			f.Add([]byte(v.Key), n)
		}
	}
	f.Add([]byte{0x80, 0xff, 0x7f, 0xfe, 0x81, 0xff, 0x80}, int32(7)) // bytes are not signed
	f.Fuzz(func(t *testing.T, key []byte, n int32) {
		if n < 1 {
			n = 1
		}
		if key == nil {
			key = []byte{}
		}
		got := Partition(key, n)
		want := kgo.StickyKeyPartitioner(nil).ForTopic("t").Partition(&kgo.Record{Key: key}, int(n))
		if int(got) != want || got < 0 || got >= n {
			t.Errorf("Partition(%x, %d) = %d, want %d", key, n, got, want)
		}
	})
}
