package wire

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// murmurVectors are from the tests of the Java client and of librdkafka.
// docs/wire.md has the same table.
var murmurVectors = []struct {
	key  string
	hash int32
}{
	{"21", -973932308},
	{"foobar", -790332482},
	{"a-little-bit-long-string", -985981536},
	{"a-little-bit-longer-string", -1486304829},
	{"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
	{"abc", 479470107},
	{"kafka", -798503068},
	{"giberish123456789", -1890243828},
	{"1234", -1614185708},
	{"234", -406844982},
	{"34", -2026295078},
	{"4", 1514888353},
	{"PreAmbleWillBeRemoved,ThePrePartThatIs", 2017611548},
	{"", 275646681},
}

func TestMurmur2(t *testing.T) {
	for _, v := range murmurVectors {
		if got := int32(murmur2([]byte(v.key))); got != v.hash {
			t.Errorf("murmur2(%q) = %d, want %d", v.key, got, v.hash)
		}
		if got, want := Partition([]byte(v.key), 16), v.hash&0x7fffffff%16; got != want {
			t.Errorf("Partition(%q, 16) = %d, want %d", v.key, got, want)
		}
	}
}

// FuzzPartition compares with another implementation of the Java client's
// choice.
func FuzzPartition(f *testing.F) {
	for _, v := range murmurVectors {
		for _, n := range []int32{1, 3, 16, 1<<31 - 1} {
			f.Add([]byte(v.key), n)
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
