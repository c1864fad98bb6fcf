package audit

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/hashicorp/go-hclog"

	"rrhost/audit/internal/trail"
	"rrhost/config"
)

// picky is a store that refuses one row, and with it the write that it is in.
type picky struct {
	writer
	refused claim
	offset  int64
}

func (s *picky) Write(_ context.Context, rows []trail.Row, _ []trail.Position) error {
	for _, r := range rows {
		if r.Topic == s.refused.topic && r.Partition == s.refused.partition && r.Offset == s.offset {
			return errDown
		}
	}
	return nil
}

type anySession struct{ sarama.ConsumerGroupSession }

func (anySession) MarkOffset(string, int32, int64, string) {}

// A row that is refused goes on failing, whatever is stored of other partitions
// and before it, until it is stored or the partition is another host's.
func TestRefusedRowKeepsFailing(t *testing.T) {
	in, err := NewIngester(config.Config{Audit: config.Audit{Store: "embedded"}}, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	a, b := claim{"echo", 0}, claim{"echo", 1}
	store := &picky{refused: a, offset: 7}
	progress := 0
	// generation writes what it has read up to; the logs go on.
	generation := func(read map[claim]int64) *generation {
		g := newGeneration(in, store, nil, nil, func() { progress++ })
		for c, next := range read {
			from := trail.Position{Topic: c.topic, Partition: c.partition, Next: 5}
			st := &claimState{stored: from, read: from, end: 1000, heard: time.Now()}
			st.read.Next = next
			g.claims[c] = st
			for at := from.Next; at < next; at++ {
				g.rows = append(g.rows, trail.Row{Type: trail.Request, Topic: c.topic, Partition: c.partition, Offset: at})
			}
		}
		if !g.flush(anySession{}) {
			in.fail(g.cause())
		}
		return g
	}
	failing := func() bool { return errors.Is(in.Stats().LastError, errDown) }

	generation(map[claim]int64{a: 9, b: 9})
	since := in.Stats().FailingSince
	for name, read := range map[string]map[claim]int64{
		"another partition": {a: 5, b: 20}, "what is before it": {a: 7, b: 5}, "both": {a: 7, b: 30},
	} {
		if g := generation(read); g.cause() != nil || !failing() || !in.Stats().FailingSince.Equal(since) || progress > 0 {
			t.Errorf("%s is stored: %v; %v since %v, want %v", name, g.cause(), in.Stats().LastError, in.Stats().FailingSince, since)
		}
	}
	generation(map[claim]int64{b: 9})
	if failing() || progress != 1 {
		t.Error("without its partition: failing")
	}

	generation(map[claim]int64{a: 9, b: 9})
	store.offset = -1
	if generation(map[claim]int64{a: 9, b: 7}); !failing() {
		t.Error("part of what was refused is stored: not failing")
	}
	if generation(map[claim]int64{a: 9, b: 9}); failing() || progress != 2 {
		t.Error("all that was refused is stored: failing")
	}
	if generation(map[claim]int64{a: 6, b: 6}); progress != 3 {
		t.Error("what was refused once is remembered")
	}
}

// Who has no partition left has nothing to store: what failed before is another
// host's matter.
func TestNothingToStoreIsNoFailure(t *testing.T) {
	in, err := NewIngester(config.Config{Audit: config.Audit{Store: "embedded"}}, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	in.fail(errDown)
	g := newGeneration(in, positionless{}, &brokerLog{}, nil, func() {})
	if err := g.place(idleSession{}); err != nil {
		t.Fatal(err)
	}
	if !g.flush(anySession{}) || in.Stats().LastError != nil {
		t.Errorf("without partitions: %v since %v", in.Stats().LastError, in.Stats().FailingSince)
	}
}

type positionless struct{ writer }

func (positionless) Positions(context.Context) ([]trail.Position, error) { return nil, nil }

type idleSession struct{ sarama.ConsumerGroupSession }

func (idleSession) Claims() map[string][]int32 { return nil }
func (idleSession) Context() context.Context   { return context.Background() }
