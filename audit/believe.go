package audit

import "time"

// tolerance is how far a record's time may be off the clock, or go back within
// its partition, and still be believed.
const tolerance = time.Hour

// believable is the time under which a record is stored. On topics with the
// broker's time it is the record's. Else a sender may have made up any: years
// ahead, it would stand in every range for years, and long ago, it would be
// past its retention at once. Such a time is replaced by floor, the latest
// believed time of the partition, which is the same when the record is read
// again.
func believable(record, floor, now time.Time, ttl time.Duration) time.Time {
	record = record.UTC().Truncate(time.Millisecond)
	off := now.Sub(record)
	if off.Abs() <= tolerance {
		return record
	}
	// A backlog: old, but not older than what was before it.
	if off > 0 && (ttl <= 0 || off < ttl) && !record.Before(floor.Add(-tolerance)) {
		return record
	}
	if floor.IsZero() || floor.After(now) || ttl > 0 && now.Sub(floor) >= ttl {
		return now.UTC().Truncate(time.Millisecond)
	}
	return floor.UTC().Truncate(time.Millisecond)
}
