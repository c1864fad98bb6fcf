package embedded

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// kfake lays its log out as
//
//	partitions/TOPIC-PARTITION/BASE.dat    record batches, one after another
//	partitions/TOPIC-PARTITION/BASE.idx    its own index
//
// where TOPIC is escaped as in a URL and BASE is the first offset. Only the
// names and the heads of batches are read here, and nothing is written.

// A partitionLog is the files of one partition, oldest first.
type partitionLog struct {
	partition int32
	segments  []segment
}

// A segment is one file.
type segment struct {
	path     string
	base     int64 // first offset
	size     int64 // bytes
	modified time.Time
}

// readTopics lists the logs of every topic. A partition that has no file yet
// is left out.
func readTopics(dir string) (map[string][]partitionLog, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil // nothing was produced yet
	}
	if err != nil {
		return nil, err
	}
	topics := map[string][]partitionLog{}
	for _, e := range entries {
		topic, partition, ok := parsePartition(e.Name())
		if !ok {
			continue
		}
		segments, err := readSegments(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		if len(segments) > 0 {
			topics[topic] = append(topics[topic], partitionLog{partition: partition, segments: segments})
		}
	}
	return topics, nil
}

func parsePartition(name string) (topic string, partition int32, ok bool) {
	dash := strings.LastIndexByte(name, '-')
	if dash < 0 {
		return "", 0, false
	}
	topic, err := url.PathUnescape(name[:dash])
	n, bad := strconv.ParseInt(name[dash+1:], 10, 32)
	return topic, int32(n), err == nil && bad == nil
}

func readSegments(dir string) ([]segment, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) { // else the topic was deleted this moment
		return nil, err
	}
	var segments []segment
	for _, e := range entries {
		number, ok := strings.CutSuffix(e.Name(), ".dat")
		if !ok {
			continue
		}
		base, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		segments = append(segments, segment{
			path:     filepath.Join(dir, e.Name()),
			base:     base,
			size:     info.Size(),
			modified: info.ModTime(),
		})
	}
	slices.SortFunc(segments, func(a, b segment) int { return cmp.Compare(a.base, b.base) })
	return segments, nil
}

// firstFrom returns an offset before which everything is older than oldest:
// all of a file that was last written before, and in the first other one the
// batches up to the first with a younger record.
func (l partitionLog) firstFrom(oldest time.Time) (int64, error) {
	for i, s := range l.segments {
		if i+1 < len(l.segments) && s.modified.Before(oldest) {
			continue
		}
		return s.firstFrom(oldest)
	}
	return 0, nil
}

// The head of a record batch, as Kafka's protocol has it.
const (
	headLength    = 8  // int32: bytes after this field
	headLastDelta = 23 // int32: last offset less the first
	headMaxTime   = 35 // int64: the youngest record, Unix milliseconds
	headSize      = 61
)

func (s segment) firstFrom(oldest time.Time) (int64, error) {
	f, err := os.Open(s.path)
	if errors.Is(err, os.ErrNotExist) {
		return s.base, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	first, err := firstFrom(f, s.base, oldest.UnixMilli())
	if err != nil {
		return 0, fmt.Errorf("%s: %w", s.path, err)
	}
	return first, nil
}

// firstFrom reads batches, of which the first begins at base, up to the first
// that has a record of at least oldest, and returns where that one begins. It
// stops without an error at the end, which may be in the middle of a batch
// that is being written.
func firstFrom(batches io.Reader, base, oldest int64) (int64, error) {
	r := bufio.NewReaderSize(batches, 64<<10)
	first := base
	for {
		head, err := r.Peek(headSize)
		if errors.Is(err, io.EOF) {
			return first, nil
		}
		if err != nil {
			return 0, err
		}
		begin := int64(binary.BigEndian.Uint64(head))
		length := int32(binary.BigEndian.Uint32(head[headLength:]))
		last := int32(binary.BigEndian.Uint32(head[headLastDelta:]))
		if begin < first || length < headSize-headLength-4 || last < 0 {
			return 0, fmt.Errorf("no record batch after offset %d", first)
		}
		if int64(binary.BigEndian.Uint64(head[headMaxTime:])) >= oldest {
			return begin, nil
		}
		if _, err := r.Discard(headLength + 4 + int(length)); errors.Is(err, io.EOF) {
			return first, nil
		} else if err != nil {
			return 0, err
		}
		first = begin + int64(last) + 1
	}
}
