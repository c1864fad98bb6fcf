package embedded

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// batch is a record batch of n records as it stands in a file.
func batch(first int64, n int, maxTime int64) []byte {
	b := kmsg.RecordBatch{
		FirstOffset: first, LastOffsetDelta: int32(n - 1), NumRecords: int32(n),
		FirstTimestamp: maxTime - 1, MaxTimestamp: maxTime, Magic: 2, Records: make([]byte, 50*n),
	}
	b.Length = int32(headSize - headLength - 4 + len(b.Records))
	return b.AppendTo(nil)
}

func TestFirstFrom(t *testing.T) {
	three := bytes.Join([][]byte{batch(5, 2, 100), batch(7, 3, 200), batch(12, 1, 300)}, nil) // a gap before 12
	tests := []struct {
		name    string
		file    []byte
		oldest  int64
		want    int64
		wantErr string
	}{
		{"none is older", three, 100, 5, ""},
		{"the first is older", three, 101, 7, ""},
		{"two are", three, 201, 12, ""},
		{"all are", three, 301, 13, ""},
		{"no batch yet", nil, 100, 5, ""},
		{"the second is being written", three[:len(three)/2], 201, 7, ""},
		{"the head of the second is", three[:len(batch(5, 2, 100))+20], 201, 7, ""},
		// An old time after a younger one does not count: order is by arrival.
		{"a clock was behind", append(batch(5, 2, 200), batch(7, 1, 1)...), 150, 5, ""},
		{"something else", bytes.Repeat([]byte{0}, 200), 100, 0, "no record batch after offset 5"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := firstFrom(bytes.NewReader(tt.file), 5, tt.oldest)
			if tt.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
					t.Errorf("error %v, want %q", err, tt.wantErr)
				}
				return
			}
			if err != nil || got != tt.want {
				t.Errorf("firstFrom = %d, %v; want %d", got, err, tt.want)
			}
		})
	}
}

func FuzzFirstFrom(f *testing.F) {
	f.Add(bytes.Join([][]byte{batch(0, 2, 100), batch(2, 3, 200)}, nil), int64(150))
	f.Add(batch(0, 1, 100)[:70], int64(150))
	f.Add(bytes.Repeat([]byte{0xff}, 200), int64(1))
	f.Add([]byte{}, int64(0))
	f.Fuzz(func(t *testing.T, file []byte, oldest int64) {
		got, err := firstFrom(bytes.NewReader(file), 0, oldest)
		if err != nil {
			return
		}
		if got < 0 {
			t.Errorf("offset %d lies before the file's first", got)
		}
		// Nothing younger may be dropped: a later bound never gives an earlier offset.
		if later, err := firstFrom(bytes.NewReader(file), 0, max(oldest, oldest+1)); err == nil && later < got {
			t.Errorf("from %d: %d, but from a later time: %d", oldest, got, later)
		}
	})
}

func TestParsePartition(t *testing.T) {
	tests := []struct {
		name      string
		topic     string
		partition int32
		ok        bool
	}{
		{"calculate-0", "calculate", 0, true},
		{"rr.replies-15", "rr.replies", 15, true},
		{"with-dash-3", "with-dash", 3, true},
		{"a%2Fb-1", "a/b", 1, true},
		{"nodash", "", 0, false},
		{"x-y", "", 0, false},
		{"%zz-1", "", 0, false},
	}
	for _, tt := range tests {
		topic, partition, ok := parsePartition(tt.name)
		if ok != tt.ok || ok && (topic != tt.topic || partition != tt.partition) {
			t.Errorf("parsePartition(%q) = %q, %d, %v; want %q, %d, %v", tt.name, topic, partition, ok, tt.topic, tt.partition, tt.ok)
		}
	}
}

// The layout of a head is Kafka's; kmsg writes it here.
func TestHeadLayout(t *testing.T) {
	b := batch(7, 3, 1234)
	if got := binary.BigEndian.Uint64(b[headMaxTime:]); got != 1234 {
		t.Errorf("the youngest time reads %d, want 1234", got)
	}
	if got := binary.BigEndian.Uint32(b[headLastDelta:]); got != 2 {
		t.Errorf("the last offset's delta reads %d, want 2", got)
	}
	if got := binary.BigEndian.Uint32(b[headLength:]); int(got) != len(b)-headLength-4 {
		t.Errorf("the length reads %d, want %d", got, len(b)-headLength-4)
	}
}
