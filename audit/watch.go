package audit

import (
	"time"

	"github.com/IBM/sarama"

	"rrhost/audit/internal/trail"
)

const (
	// watchEvery is how often the logs' ends are looked up. A range that is
	// followed is so much behind.
	watchEvery = time.Second
	// rarelyEvery is how often their beginnings and missing topics are.
	rarelyEvery = 5 * time.Second
	// clockMargin is how far this clock may be ahead of the brokers'.
	clockMargin = time.Second
	// quiet is after what time without a record a partition whose log goes on
	// past the last one counts as read: what is left are marks of transactions,
	// which are no records.
	quiet = 5 * time.Second
	// warnEvery is how often one partition is warned of.
	warnEvery = 10 * time.Minute
)

// watchLoop looks how far the logs go, until the generation ends.
func (g *generation) watchLoop() {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	var rarely time.Time
	for {
		at := g.in.now()
		often := at.Sub(rarely) < rarelyEvery
		if err := g.look(at, !often); err != nil {
			g.in.logger.Debug("audit: how far the logs go is not known", "error", err)
		}
		if !often {
			rarely = at
		}
		g.signal()
		select {
		case <-g.failed:
			return
		case <-g.ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look notes the logs' ends as of at, a time before it asks.
func (g *generation) look(at time.Time, beginnings bool) error {
	g.mu.Lock()
	claims := make([]claim, 0, len(g.claims))
	for c := range g.claims {
		claims = append(claims, c)
	}
	g.mu.Unlock()
	newest, err := g.log.offsets(claims, sarama.OffsetNewest)
	if err != nil {
		return err
	}
	g.mu.Lock()
	for c, end := range newest {
		g.claims[c].end, g.claims[c].endAt = end, at
	}
	g.mu.Unlock()
	if !beginnings {
		return nil
	}
	oldest, err := g.log.offsets(claims, sarama.OffsetOldest)
	if err != nil {
		return err
	}
	g.mu.Lock()
	for c, first := range oldest {
		g.claims[c].oldest = first
		g.warn(c, g.claims[c], at)
	}
	g.mu.Unlock()
	if err := g.lookForLeaders(); err != nil {
		return err
	}
	return g.lookForMissing(at)
}

// lookForLeaders ends the generation when a partition that had no leader has one.
func (g *generation) lookForLeaders() error {
	led, _, err := g.log.leaderless(g.leaderless)
	if len(led) > 0 {
		g.fail(errTopicsChanged)
	}
	return err
}

// lookForMissing notes that topics are still not there, which is as good as
// having read them, and ends the generation when one is.
func (g *generation) lookForMissing(at time.Time) error {
	if len(g.missing) == 0 {
		return nil
	}
	there, missing, err := g.log.present(g.missing)
	if err != nil {
		return err
	}
	if len(there) > 0 {
		g.fail(errTopicsChanged)
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.absent = g.absent[:0]
	for _, t := range missing {
		g.absent = append(g.absent, trail.Position{Topic: t, Partition: trail.NoPartition, Complete: complete(at)})
	}
	return nil
}

func complete(at time.Time) time.Time { return at.Add(-clockMargin).UTC().Truncate(time.Millisecond) }

// completeUntil is the time before which all of the partition is read: when its
// end was last seen and has been reached, or else the last record's. It never
// goes back: what is read again is stored already.
func (st *claimState) completeUntil(now time.Time) time.Time {
	until := st.read.Complete
	later := func(t time.Time) {
		if t.After(until) {
			until = t
		}
	}
	if st.read.Next > st.stored.Next && !st.read.RecordTime.After(now) {
		later(st.read.RecordTime)
	}
	if !st.endAt.IsZero() && st.reached(now) {
		later(complete(st.endAt))
	}
	return until
}

// reached tells whether the partition's end, as last seen, has been read.
func (st *claimState) reached(now time.Time) bool {
	return st.read.Next >= st.end ||
		st.highest != nil && st.highest() >= st.end && now.Sub(st.heard) > quiet
}

// warn tells that Kafka comes near to dropping what isn't stored: while there is
// a quarter of its retention or of the log left, and time to act. The caller
// holds mu.
func (g *generation) warn(c claim, st *claimState, now time.Time) {
	if st.stored.Next >= st.end || now.Sub(st.warnedAt) < warnEvery {
		return
	}
	behind := time.Duration(0)
	if !st.stored.RecordTime.IsZero() {
		behind = now.Sub(st.stored.RecordTime)
	}
	log, ahead := st.end-st.oldest, st.stored.Next-st.oldest
	nearStart := st.oldest > 0 && ahead < log/4
	if g.in.retention == 0 || behind < g.in.retention/4*3 && !nearStart {
		return
	}
	st.warnedAt = now
	g.in.logger.Warn("audit: lags so far that Kafka may drop records before they are stored",
		"topic", c.topic, "partition", c.partition, "lag", st.end-st.stored.Next, "behind", behind.Round(time.Second).String(),
		"retention", g.in.retention.String())
}
