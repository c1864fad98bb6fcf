package cassandra

import (
	"context"
	"fmt"
	"time"

	"rrhost/audit/internal/trail"
)

const (
	// unsynced is for how long a write that Cassandra acknowledged may be lost
	// with the power: it syncs its commit log every 10 s by default. Reading
	// goes on from what was acknowledged that long ago.
	unsynced = 60 * time.Second
	// safeEvery bounds how many points are remembered for that.
	safeEvery = 5 * time.Second
)

const (
	selectPositions = "SELECT topic, part, next, safe, record_time, complete FROM positions WHERE ingest_group = ?"
	insertPosition  = "INSERT INTO positions (ingest_group, topic, part, next, safe, record_time, complete) VALUES (?,?,?,?,?,?,?)"
)

// safePoints remember when which offset of a partition was acknowledged. What
// counts is the clock at writing and not the records' times: while catching up
// a minute of writing is hours of records.
type safePoints struct {
	safe   int64 // acknowledged long enough ago
	points []safePoint
}

type safePoint struct {
	at   time.Time
	next int64
}

func (p *safePoints) add(now time.Time, next int64) {
	for len(p.points) > 0 && now.Sub(p.points[0].at) >= unsynced {
		p.safe, p.points = p.points[0].next, p.points[1:]
	}
	if n := len(p.points); n == 0 || now.Sub(p.points[n-1].at) >= safeEvery {
		p.points = append(p.points, safePoint{now, next})
	}
}

// Positions returns the group's positions. Each starts where Cassandra has
// surely kept everything before: reading the minute after it once more is free,
// since a row that is read twice overwrites itself.
func (s *Store) Positions(ctx context.Context) ([]trail.Position, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	var found []struct {
		Topic      string
		Part       int32
		Next       int64
		Safe       int64
		RecordTime time.Time
		Complete   time.Time
	}
	if err := s.session.ContextQuery(ctx, selectPositions, nil).Bind(s.group).SelectRelease(&found); err != nil {
		return nil, fmt.Errorf("cassandra: positions: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]trail.Position, len(found))
	for i, f := range found {
		all[i] = trail.Position{
			Topic: f.Topic, Partition: f.Part, Next: f.Next, Start: min(f.Safe, f.Next),
			RecordTime: f.RecordTime, Complete: f.Complete,
		}
		c := claim{f.Topic, f.Part}
		if s.safe[c] == nil {
			s.safe[c] = &safePoints{safe: all[i].Start}
		}
	}
	return all, nil
}

func (s *Store) writePositions(ctx context.Context, positions []trail.Position) error {
	now := s.now()
	return s.each(ctx, len(positions), func(ctx context.Context, i int) error {
		p := positions[i]
		q := s.session.ContextQuery(ctx, insertPosition, nil).
			Bind(s.group, p.Topic, p.Partition, p.Next, s.safeOffset(now, p), p.RecordTime, p.Complete)
		if err := q.ExecRelease(); err != nil {
			return fmt.Errorf("position of %s/%d: %w", p.Topic, p.Partition, err)
		}
		return nil
	})
}

func (s *Store) safeOffset(now time.Time, p trail.Position) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := claim{p.Topic, p.Partition}
	points := s.safe[c]
	if points == nil { // never stored before: all of it is to be read again
		points = &safePoints{safe: p.Start}
		s.safe[c] = points
	}
	points.add(now, p.Next)
	return min(points.safe, p.Next)
}

// forgetPoints after a failure: what was acknowledged in the last minute may be
// gone, however long ago that is by the time writing succeeds again.
func (s *Store) forgetPoints() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.safe)
}
