package discovery

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"rrhost/internal/testservices"
)

var noon = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

func at(seen time.Time, host string, topics ...string) Record {
	a := &Announcement{Host: host, Name: host}
	for _, t := range topics {
		a.Topics = append(a.Topics, Topic{Name: t})
	}
	return Record{Host: host, Announcement: a, Seen: seen}
}

func TestServed(t *testing.T) {
	tests := []struct {
		name    string
		records []Record
		now     time.Duration // after noon
		want    bool          // of topic a
	}{
		{"nothing was announced", nil, 0, false},
		{"just now", []Record{at(noon, "1", "a")}, 0, true},
		{"another topic", []Record{at(noon, "1", "b")}, 0, false},
		{"within its life", []Record{at(noon, "1", "a")}, Lifetime, true},
		{"after it", []Record{at(noon, "1", "a")}, Lifetime + time.Millisecond, false},
		{"announced again", []Record{at(noon, "1", "a"), at(noon.Add(Period), "1", "a")}, Lifetime + Period, true},
		{"by another host", []Record{at(noon, "1", "a"), at(noon.Add(Period), "2", "a")}, Lifetime + Period, true},
		{"read out of order", []Record{at(noon.Add(Period), "2", "a"), at(noon, "1", "a")}, Lifetime + Period, true},
		{"said goodbye", []Record{at(noon, "1", "a"), {Host: "1", Seen: noon}}, Lifetime, true},
		{"said goodbye, and did not come back", []Record{at(noon, "1", "a"), {Host: "1", Seen: noon.Add(Period)}}, Lifetime + 1, false},
		{"served no longer", []Record{at(noon, "1", "a"), at(noon.Add(Period), "1")}, Lifetime + 1, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var s Served
			for _, r := range tt.records {
				s.Add(r)
			}
			if got := s.Has("a", noon.Add(tt.now)); got != tt.want {
				t.Errorf("Has = %v, want %v", got, tt.want)
			}
		})
	}
}

// Whoever fills the index with names of his own makes every topic look served,
// and none deserted; and only for as long as he goes on.
func TestServedIsBounded(t *testing.T) {
	var s Served
	for i := range maxServed/1000 + 1 {
		var names []string
		for j := range 1000 {
			names = append(names, fmt.Sprintf("t%d-%d", i, j))
		}
		s.Add(at(noon, "1", names...))
	}
	if len(s.last) != maxServed {
		t.Errorf("%d topics are known, want %d", len(s.last), maxServed)
	}
	if !s.Has("a", noon.Add(time.Second)) {
		t.Error("a topic for which there was no room fails fast")
	}
	later := noon.Add(Lifetime + time.Second)
	if s.Add(at(later, "2", "b")); len(s.last) != 1 {
		t.Errorf("%d topics are known after all but one are over", len(s.last))
	}
	if s.Has("a", later) || !s.Has("b", later) {
		t.Error("the index is not what was announced")
	}
}

func TestHosts(t *testing.T) {
	var h Hosts
	names := func(now time.Time) []string {
		var list []string
		for _, r := range h.List(now) {
			list = append(list, r.Host)
		}
		return list
	}
	h.Add(at(noon, "2", "a"))
	h.Add(at(noon, "1", "a"))
	h.Add(at(noon.Add(-Lifetime-1), "0", "a")) // killed long ago
	if got := names(noon); !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("hosts %v", got)
	}
	h.Add(Record{Host: "2"})
	h.Add(at(noon.Add(Period), "1", "a", "b"))
	if got := h.List(noon.Add(Lifetime + 1)); len(got) != 1 || len(got[0].Announcement.Topics) != 2 {
		t.Errorf("hosts %+v", got)
	}
	for i := range maxHosts + 10 {
		h.Add(at(noon.Add(time.Duration(i)*time.Microsecond), fmt.Sprint("many", i)))
	}
	if len(h.last) != maxHosts || !slices.Contains(names(noon.Add(Period)), "1") || slices.Contains(names(noon), "many0") {
		t.Errorf("%d hosts are kept, of which the newest should be", len(h.last))
	}
}

// Whoever writes to the topic must not fill the memory of who reads it.
func TestHostsAreBoundedByBytes(t *testing.T) {
	testservices.Long(t)
	var h Hosts
	var topics []string
	for i := range MaxTopics {
		topics = append(topics, fmt.Sprintf(`{"name":"t%d"}`, i))
	}
	add := func(i int) {
		host := fmt.Sprintf("00000000-0000-4000-8000-%012d", i)
		value := fmt.Sprintf(`{"format":1,"host":%q,"topics":[%s]}`, host, strings.Join(topics, ","))
		r, ok := recordOf(&sarama.ConsumerMessage{Key: []byte(host), Value: []byte(value)}, true, noon.Add(time.Duration(i)))
		if !ok {
			t.Fatal("it is no announcement")
		}
		h.Add(r)
	}
	for i := range 200 {
		add(i)
		add(i) // once more, which takes no more
	}
	size := 0
	for _, r := range h.last {
		size += r.size
	}
	if size > maxHostBytes || size != h.size || len(h.last) < 50 || len(h.last) >= 200 {
		t.Errorf("%d hosts take %d bytes, counted as %d; at most %d are wanted", len(h.last), size, h.size, maxHostBytes)
	}
	for _, r := range h.List(noon) {
		h.Add(Record{Host: r.Host})
	}
	if h.size != 0 || len(h.last) != 0 {
		t.Errorf("after the goodbyes, %d hosts take %d bytes", len(h.last), h.size)
	}
}

func TestRecordOf(t *testing.T) {
	a, block := example(t)
	message := func(value []byte, written time.Time) *sarama.ConsumerMessage {
		return &sarama.ConsumerMessage{Key: []byte(a.Host), Value: value, Timestamp: written}
	}
	tests := []struct {
		name    string
		m       *sarama.ConsumerMessage
		live    bool
		want    time.Time
		goodbye bool
	}{
		{"from before", message(block, noon.Add(-time.Hour)), false, noon.Add(-time.Hour), false},
		{"written while it read, by an old clock", message(block, noon.Add(-time.Hour)), true, noon, false},
		{"from the future", message(block, noon.Add(time.Hour)), false, noon, false},
		{"without a time", message(block, time.UnixMilli(-1)), false, noon, false},
		{"goodbye", message(nil, noon.Add(-time.Second)), false, noon.Add(-time.Second), true},
	}
	for _, tt := range tests {
		r, ok := recordOf(tt.m, tt.live, noon)
		if !ok || !r.Seen.Equal(tt.want) || (r.Announcement == nil) != tt.goodbye || r.Host != a.Host {
			t.Errorf("%s: %+v, %v", tt.name, r, ok)
		}
	}
	if r, ok := recordOf(message([]byte("{}"), noon), false, noon); ok {
		t.Errorf("what is no announcement is %+v", r)
	}
}
