package intake

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"

	"rrhost/internal/wire"
)

// A Message is a request record, and the claim that it came through.
type Message struct {
	*sarama.ConsumerMessage
	// Redelivered says that the record was in the log before this host got the
	// partition: another host, or an earlier life of this one, may have begun it.
	Redelivered bool
	// Received is when it reached this host.
	Received time.Time

	claim *claim
	extra bool  // it has no slot: a ping
	bytes int64 // size, measured once
	entry *entry
	work  Work // owned by the claim's loop
}

// Context ends when m's claim has ended and nothing that still comes of m counts.
func (m *Message) Context() context.Context { return m.claim.ctx }

// Settle says that the outcome of m is acknowledged by Kafka. It frees m's slot
// and, while the claim lives, lets the committed offset move on. Each message
// gets one call of either Settle or [Message.Drop].
func (m *Message) Settle() { m.end(true) }

// Drop says that m has no outcome, since its partition is being given up. It
// frees m's slot and leaves the committed offset below m: whoever gets the
// partition is given m again.
func (m *Message) Drop() { m.end(false) }

func (m *Message) end(settled bool) {
	c := m.claim
	c.finish(m, settled)
	if !m.extra {
		c.gate.release(c)
	}
}

// size is what m counts for in the bytes that a host holds: what it keeps in
// memory, roughly.
func (m *Message) size() int64 {
	const perRecord, perHeader = 256, 64
	n := perRecord + len(m.Key) + len(m.Value)
	for _, h := range m.Headers {
		n += perHeader + len(h.Key) + len(h.Value)
	}
	return int64(n)
}

var errClaimEnded = errors.New("the partition was given up")

// Work is what was begun for a message. Its methods may be called after the
// message was settled, and then do nothing.
type Work interface {
	// Revoke says that the partition is being given up: what has not begun yet
	// is dropped, what runs may finish.
	Revoke()
	// Abandon says that the claim has ended: whatever still comes is dropped.
	Abandon()
}

const (
	// A claim is paused at highWater waiting messages, not at the first, since
	// resuming takes effect only at the next fetch; and resumed at half of it.
	highWater = 256
	lowWater  = highWater / 2

	// maxWindow bounds how far requests may run ahead of an unsettled one, and
	// with it the memory of the window and what a crash repeats.
	maxWindow = 1 << 18

	// maxExtra bounds the pings of a claim that are in flight without a slot.
	// More of them wait like requests.
	maxExtra = 16
)

// A claim is one partition for as long as this host has it: an epoch. A result
// that comes after its claim has closed changes nothing.
type claim struct {
	topic     string
	partition int32
	in        *Intake
	gate      *gate
	ctx       context.Context
	cancel    context.CancelCauseFunc
	wake      chan struct{} // capacity 1
	loud      atomic.Bool   // the loop wants to know of each settled message

	slots   int  // guarded by gate.mu: in flight
	waiting bool // guarded by gate.mu: has a message that found no slot

	// Owned by the loop.
	backlog []*Message // received and not begun, oldest first
	paused  bool

	mu       sync.Mutex // guards all below
	window   window
	bytes    int64 // of what was received and is not settled
	draining bool
	closed   bool
	idle     chan struct{} // closed when draining and nothing begun is pending
	received int           // received and not settled
	begun    int           // of them, begun
	extra    int           // of them, without a slot
	mark     func(next int64)
	high     func() int64 // the log's end as of the last fetch
	from     int64        // where the claim began
	end      int64        // the log's end at that time
}

func (c *claim) signal() {
	select {
	case c.wake <- struct{}{}:
	default: // it is awake already
	}
}

// run is the claim's loop. It never waits for a request: a claim that merely
// stops receiving would stall every other partition of its broker.
func (c *claim) run(messages <-chan *sarama.ConsumerMessage, ended <-chan struct{}) {
	for {
		select {
		case m, ok := <-messages:
			if !ok {
				return
			}
			c.receive(m)
		case <-c.wake:
		case <-ended:
			return
		}
		c.pump()
		c.throttle()
	}
}

func (c *claim) receive(record *sarama.ConsumerMessage) {
	m := &Message{ConsumerMessage: record, Redelivered: record.Offset < c.end, Received: time.Now(), claim: c}
	m.entry = &entry{offset: record.Offset, message: m}
	m.bytes = m.size()
	c.mu.Lock()
	c.window.add(m.entry)
	c.bytes += m.bytes
	c.received++
	// A ping is answered at once, however busy the topic and whatever of its
	// plugin: that is what it asks for.
	if m.extra = c.extra < maxExtra && wire.IsPing(m.Headers); m.extra {
		c.extra++
	}
	c.mu.Unlock()
	c.in.held.Add(m.bytes)
	if m.extra {
		c.begin(m)
	} else {
		c.backlog = append(c.backlog, m)
	}
}

func (c *claim) begin(m *Message) {
	c.mu.Lock()
	c.begun++
	c.mu.Unlock()
	m.work = c.in.start(m)
}

// pump begins what there are slots for.
func (c *claim) pump() {
	n := 0
	for n < len(c.backlog) && c.gate.acquire(c) {
		m := c.backlog[n]
		c.backlog[n] = nil
		n++
		c.begin(m)
	}
	if n == len(c.backlog) {
		c.backlog = c.backlog[:0]
	} else {
		c.backlog = c.backlog[n:]
	}
}

// throttle pauses or resumes the partition.
func (c *claim) throttle() {
	c.mu.Lock()
	bytes, length := c.bytes, c.window.length
	c.mu.Unlock()
	share := c.in.byteShare()
	switch {
	case !c.paused && (len(c.backlog) >= highWater || bytes > share || length >= maxWindow):
		c.paused = true
		c.loud.Store(true)
		c.in.pause(c.topic, c.partition)
		c.signal() // what was settled before loud was set
	case c.paused && len(c.backlog) <= lowWater && bytes <= share/2 && length <= maxWindow/2:
		c.paused = false
		c.loud.Store(false)
		c.in.resume(c.topic, c.partition)
	}
}

// finish takes m off the claim's books. Only a settled one may move the offset to
// commit.
func (c *claim) finish(m *Message, settled bool) {
	c.in.held.Add(-m.bytes)
	c.mu.Lock()
	c.bytes -= m.bytes
	c.received--
	c.begun--
	if m.extra {
		c.extra--
	}
	if c.draining && c.begun == 0 {
		close(c.idle)
		c.draining = false
	}
	if settled && c.window.settle(m.entry) && !c.closed {
		c.mark(c.window.next())
	}
	c.mu.Unlock()
	if c.loud.Load() {
		c.signal()
	}
}

// forget takes off the books what was received and never begun.
func (c *claim) forget(messages []*Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range messages {
		c.in.held.Add(-m.bytes)
		c.bytes -= m.bytes
		c.received--
	}
}

// drain lets what runs finish for at most patience, and then closes the claim.
func (c *claim) drain(patience time.Duration) {
	c.forget(c.backlog)
	c.backlog = nil
	c.gate.leave(c)

	c.mu.Lock()
	c.draining = c.begun > 0
	if !c.draining {
		close(c.idle)
	}
	c.mu.Unlock()
	for _, w := range c.works() {
		w.Revoke()
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-c.idle:
	case <-timer.C:
	}
	c.mu.Lock()
	c.closed = true
	left := c.begun
	c.mu.Unlock()
	c.cancel(errClaimEnded)
	if left > 0 {
		c.in.logger.Warn("requests did not finish before their partition was given up; they will be delivered again",
			"topic", c.topic, "partition", c.partition, "requests", left, "drain_timeout", patience)
	}
	for _, w := range c.works() {
		w.Abandon()
	}
}

// works lists the work of all that is begun and not settled. Only the claim's
// loop, which sets Message.work, may call it.
func (c *claim) works() []Work {
	c.mu.Lock()
	defer c.mu.Unlock()
	var works []Work
	for e := c.window.head; e != nil; e = e.next {
		if e.message != nil && e.message.work != nil {
			works = append(works, e.message.work)
		}
	}
	return works
}
