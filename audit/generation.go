package audit

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"rrhost/audit/internal/trail"
)

const (
	// linger is how long the first row of a write waits for others. A write is
	// a sync to disk, so under load there is one for many rows.
	linger = 50 * time.Millisecond
	// fullRows and fullBytes are when a write waits for no more. Twice that is
	// held at most; then reading waits.
	fullRows  = 2000
	fullBytes = 8 << 20
)

// errTopicsChanged ends a generation because a missing topic, or the leader of a
// partition that had none, appeared.
var errTopicsChanged = errors.New("topics changed")

// A generation is one membership in the group, from an assignment to the next.
// Claims put rows into one buffer; a goroutine of its own writes it, with the
// positions, and then marks offsets. Setup starts it and Cleanup ends it.
type generation struct {
	in       *Ingester
	store    writer
	log      *brokerLog
	missing  []string
	progress func()
	// leaderless are the claims that could not be placed. Setup sets it.
	leaderless []claim

	ctx  context.Context // until Cleanup, which then waits for work
	stop context.CancelFunc
	work sync.WaitGroup
	wake chan struct{} // rows or news of the log's end

	mu      sync.Mutex
	changed sync.Cond // room in the buffer, or the end
	claims  map[claim]*claimState
	rows    []trail.Row
	bytes   int
	ending  bool
	failed  chan struct{} // closed with err set
	err     error
	absent  []trail.Position
}

// claimState is where one partition is. The generation's mu guards it.
type claimState struct {
	read     trail.Position // what is in the buffer too
	stored   trail.Position // what the store has
	end      int64          // the log's, seen at endAt
	endAt    time.Time
	oldest   int64
	heard    time.Time // of the last record, or of the claim's start
	highest  func() int64
	warnedAt time.Time
}

func newGeneration(in *Ingester, store writer, log *brokerLog, missing []string, progress func()) *generation {
	g := &generation{
		in: in, store: store, log: log, missing: missing, progress: progress,
		wake: make(chan struct{}, 1), failed: make(chan struct{}), claims: map[claim]*claimState{},
	}
	g.changed.L = &g.mu
	g.ctx, g.stop = context.WithCancel(context.Background())
	return g
}

// Setup sets each claim to the store's position, writes down what Kafka has
// dropped before, and starts the writing.
func (g *generation) Setup(session sarama.ConsumerGroupSession) error {
	if err := g.place(session); err != nil {
		g.fail(err)
		return err
	}
	g.work.Go(func() { g.writeLoop(session) })
	g.work.Go(func() { g.watchLoop() })
	return nil
}

func (g *generation) place(session sarama.ConsumerGroupSession) error {
	var claims []claim
	for topic, partitions := range session.Claims() {
		for _, p := range partitions {
			claims = append(claims, claim{topic, p})
		}
	}
	claims, leaderless, err := g.log.leaderless(claims)
	if err != nil {
		return err
	}
	g.leaderless = leaderless
	for _, c := range leaderless {
		g.in.logger.Warn("audit: a partition without leader is not read until it has one", "topic", c.topic, "partition", c.partition)
	}
	oldest, err := g.log.offsets(claims, sarama.OffsetOldest)
	if err != nil {
		return err
	}
	newest, err := g.log.offsets(claims, sarama.OffsetNewest)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(session.Context(), storeTimeout)
	defer cancel()
	known, err := g.store.Positions(ctx)
	if err != nil {
		return err
	}
	at := map[claim]trail.Position{}
	for _, p := range known {
		at[claim{p.Topic, p.Partition}] = p
	}
	now := g.in.now().UTC().Truncate(time.Millisecond)
	var gaps []trail.Row
	var begun []trail.Position
	g.mu.Lock()
	for _, c := range claims {
		p, has := at[c]
		gap, start := startAt(c, p, has, oldest[c], newest[c])
		if gap != nil {
			gap.Time, gap.RecordTime = now, now
			if g.in.decode.kinds[c.topic] == trail.Request {
				gap.RequestTopic = c.topic
			}
			gaps = append(gaps, *gap)
		}
		if !has || gap != nil {
			p = trail.Position{Topic: c.topic, Partition: c.partition, Next: start, Start: start, RecordTime: p.RecordTime, Complete: p.Complete}
			begun = append(begun, p)
		}
		p.Next = start
		g.claims[c] = &claimState{read: p, stored: p, end: newest[c], oldest: oldest[c], heard: now}
	}
	g.mu.Unlock()
	if len(gaps)+len(begun) > 0 {
		if err := g.store.Write(ctx, gaps, begun); err != nil {
			return err
		}
	}
	for _, r := range gaps {
		g.in.logger.Error("audit: records are missing from the trail", "topic", r.Topic, "partition", r.Partition,
			"from", r.Offset, "before", r.GapEnd, "cause", r.Error)
	}
	for c, st := range g.claims {
		session.ResetOffset(c.topic, c.partition, st.read.Next, "")
		session.MarkOffset(c.topic, c.partition, st.read.Next, "")
	}
	// That the store can be read does not mean that it takes rows; who has no
	// partition has none to store.
	g.in.stored(g, gaps, len(claims) == 0)
	return nil
}

// startAt says where to read on in a log that has offsets from oldest to before
// newest, and what of it is missing.
func startAt(c claim, p trail.Position, has bool, oldest, newest int64) (*trail.Row, int64) {
	gap := func(from, to int64, cause string) *trail.Row {
		return &trail.Row{Type: trail.Gap, Topic: c.topic, Partition: c.partition, Offset: from, GapEnd: to, Error: cause}
	}
	switch {
	case !has: // what was dropped before the trail began is none of its business
		return nil, oldest
	case p.Next < oldest:
		return gap(p.Next, oldest, "dropped by Kafka before it was stored"), oldest
	case p.Next > newest:
		// The topic was made anew, or lost its end in an unclean election. To
		// read again what is there costs nothing.
		return gap(newest, p.Next, "the log ends before what was stored: it was cut or made anew"), oldest
	default:
		return nil, max(p.Start, oldest)
	}
}

// ConsumeClaim decodes one partition's records into the buffer.
func (g *generation) ConsumeClaim(session sarama.ConsumerGroupSession, kc sarama.ConsumerGroupClaim) error {
	g.mu.Lock()
	st := g.claims[claim{kc.Topic(), kc.Partition()}]
	if st == nil { // it had no leader, and has one now
		g.mu.Unlock()
		g.fail(errTopicsChanged)
		return nil
	}
	st.highest = kc.HighWaterMarkOffset
	g.mu.Unlock()
	for {
		select {
		case m, more := <-kc.Messages():
			if !more {
				return nil
			}
			if !g.add(session.Context(), st, m) {
				return nil
			}
		case <-g.failed:
			return nil
		case <-session.Context().Done():
			return nil
		}
	}
}

// add waits for room. It returns false when the generation ends.
func (g *generation) add(ctx context.Context, st *claimState, m *sarama.ConsumerMessage) bool {
	row, ours := g.in.decode.row(m)
	if !ours {
		g.in.foreign()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for (len(g.rows) >= 2*fullRows || g.bytes >= 2*fullBytes) && g.err == nil && !g.ending {
		g.changed.Wait()
	}
	if g.err != nil || g.ending || ctx.Err() != nil {
		return false
	}
	now := g.in.now()
	floor := st.read.RecordTime
	if st.stored.Complete.After(floor) {
		floor = st.stored.Complete // it came after the end was seen
	}
	at := believable(m.Timestamp, floor, now, g.in.cfg.Audit.TTL)
	if at.After(st.read.RecordTime) {
		st.read.RecordTime = at
	}
	st.read.Next = m.Offset + 1
	st.heard = now
	if ours {
		row.Time = at
		g.rows = append(g.rows, row)
		g.bytes += row.Size()
	}
	if len(g.rows) == 1 || len(g.rows) >= fullRows || g.bytes >= fullBytes {
		g.signal()
	}
	return true
}

func (g *generation) signal() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// Cleanup writes what is read, waits for all of the generation's goroutines and
// leaves the claims.
func (g *generation) Cleanup(sarama.ConsumerGroupSession) error {
	g.mu.Lock()
	g.ending = true
	g.changed.Broadcast()
	g.mu.Unlock()
	g.stop()
	g.work.Wait()
	return nil
}

// fail ends the generation; its claims see it.
func (g *generation) fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err == nil {
		g.err = err
		close(g.failed)
		g.changed.Broadcast()
	}
}

// cause is why the generation failed, or nil if it only ended.
func (g *generation) cause() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

// writeLoop writes the buffer whenever there is something in it, and news of
// the log's end; at the end of the generation once more.
func (g *generation) writeLoop(session sarama.ConsumerGroupSession) {
	for {
		select {
		case <-g.failed:
			return
		case <-g.ctx.Done():
			g.flush(session)
			return
		case <-g.wake:
		}
		g.gather()
		if !g.flush(session) {
			return
		}
	}
}

// gather waits for more rows, for a moment.
func (g *generation) gather() {
	wait := time.NewTimer(linger)
	defer wait.Stop()
	for {
		g.mu.Lock()
		full := len(g.rows) >= fullRows || g.bytes >= fullBytes
		g.mu.Unlock()
		if full {
			return
		}
		select {
		case <-wait.C:
			return
		case <-g.ctx.Done():
			return
		case <-g.failed:
			return
		case <-g.wake:
		}
	}
}

// flush stores the buffer and the positions that moved. It has time of its own:
// a rebalance doesn't cut it off.
func (g *generation) flush(session sarama.ConsumerGroupSession) bool {
	g.mu.Lock()
	rows := g.rows
	g.rows, g.bytes = nil, 0
	positions := g.moved()
	positions = append(positions, g.absent...)
	g.absent = nil
	g.changed.Broadcast()
	g.mu.Unlock()
	if len(rows)+len(positions) == 0 {
		return true
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	if err := g.store.Write(ctx, rows, positions); err != nil {
		for _, p := range positions {
			c := claim{p.Topic, p.Partition}
			g.in.owed[c] = max(g.in.owed[c], p.Next)
		}
		g.fail(fmt.Errorf("store rows: %w", err))
		return false
	}
	g.mu.Lock()
	for _, p := range positions {
		if st := g.claims[claim{p.Topic, p.Partition}]; st != nil {
			st.stored = p
			session.MarkOffset(p.Topic, p.Partition, p.Next, "")
		}
	}
	// Positions alone prove nothing while rows wait, and other rows prove nothing
	// of those that were refused: a store may take the ones and not the others.
	well := len(rows) > 0 && g.paid() || g.level(g.in.now())
	g.mu.Unlock()
	if well {
		clear(g.in.owed)
	}
	g.in.stored(g, rows, well)
	if well {
		g.progress()
	}
	return true
}

// paid tells whether all is stored that was refused before, of the partitions
// that are still claimed. The caller holds mu.
func (g *generation) paid() bool {
	for c, next := range g.in.owed {
		if st := g.claims[c]; st != nil && st.stored.Next < next {
			return false
		}
	}
	return true
}

// level tells whether all that is known of is stored. The caller holds mu.
func (g *generation) level(now time.Time) bool {
	for _, st := range g.claims {
		if st.stored.Next < st.read.Next || !st.reached(now) {
			return false
		}
	}
	return true
}

// moved are the positions to store with the buffer. The caller holds mu.
func (g *generation) moved() []trail.Position {
	now := g.in.now()
	var moved []trail.Position
	for _, st := range g.claims {
		st.read.Complete = st.completeUntil(now)
		if st.read != st.stored {
			moved = append(moved, st.read)
		}
	}
	return moved
}
