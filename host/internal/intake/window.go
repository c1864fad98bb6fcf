package intake

// A window knows which of a claim's offsets were received and which of them are
// settled. It counts what was received, never a contiguous range: compaction
// and transaction markers leave gaps.
//
// It is not safe for concurrent use; the claim's lock guards it.
type window struct {
	head, tail *entry // received and not yet passed, oldest first
	last       int64  // newest offset that was passed, -1 before the first
	length     int
}

// An entry is one received offset.
type entry struct {
	offset  int64
	message *Message // nil once settled, so that only unsettled ones hold memory
	settled bool
	next    *entry
}

func newWindow() window { return window{last: -1} }

// add appends a received offset, which must be above all earlier ones.
func (w *window) add(e *entry) {
	if w.tail == nil {
		w.head = e
	} else {
		w.tail.next = e
	}
	w.tail = e
	w.length++
}

// settle marks e and passes over what is settled from the oldest on. It reports
// whether the next offset to commit has moved.
func (w *window) settle(e *entry) bool {
	e.settled = true
	e.message = nil
	moved := false
	for w.head != nil && w.head.settled {
		w.last = w.head.offset
		w.head = w.head.next
		w.length--
		moved = true
	}
	if w.head == nil {
		w.tail = nil
	}
	return moved
}

// next is the offset to commit: the oldest unsettled one, or the one after the
// last that was passed. It is -1 before anything was received.
func (w *window) next() int64 {
	switch {
	case w.head != nil:
		return w.head.offset
	case w.last >= 0:
		return w.last + 1
	default:
		return -1
	}
}
