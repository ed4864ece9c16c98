package mqtt

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

const (
	// maxReplay is how many events are sent again at most, when the broker lost
	// what it had acknowledged.
	maxReplay = 10_000
	// replaySpan is how much is sent again to a broker that has forgotten
	// everything: what it had acknowledged and not delivered is lost with it, and
	// it does not tell what that was.
	replaySpan = 10 * time.Minute
	// settleTime is how long events wait at such a broker. It has forgotten its
	// subscribers too, and what it gets before they are back is gone for them.
	// Waiting once beats sending twice: every subscriber sees each event once,
	// in order, and a second sending would still miss who comes after it.
	// Clients that come back by themselves do so at once or after a second;
	// later ones see the gap by `seq` and ask with `resend`. No watermark is
	// set before: an agent that is killed while it waits begins anew.
	settleTime = 2 * time.Second
)

// watermark is the retained topic `self/watermark`: up to where the broker
// acknowledged events. A broker that was killed comes back with an older one,
// and has lost what came after it.
type watermark struct {
	Epoch string `json:"epoch"`
	Seq   int64  `json:"seq"`
}

// mark publishes the watermark when it moved.
func (f *outflow) mark(ctx context.Context) error {
	seq := f.acked.Load()
	if seq == f.marked || !f.hold.IsZero() || f.ahead > 0 || f.epoch != f.opts.Epoch() {
		return nil
	}
	f.past.note(time.Now(), seq)
	body, err := json.Marshal(watermark{f.epoch, seq})
	if err != nil {
		return fmt.Errorf("encode the watermark: %w", err)
	}
	if err := f.post(ctx, message{f.root + "self/watermark", body, true}, suspect{}, nil); err != nil {
		return err
	}
	f.marked = seq
	return nil
}

// resume decides where events go on: behind the last acknowledged one, or
// earlier where the broker does not have what it acknowledged.
func (f *outflow) resume(ctx context.Context, retained []byte) {
	f.begin()
	var found watermark
	ours := json.Unmarshal(retained, &found) == nil && found.Epoch == f.epoch
	cursor := f.sent
	switch {
	case ours && found.Seq > f.opts.Outbox.Seq():
		f.ahead = found.Seq
		f.tellAhead(ctx)
		return
	case ours:
		f.marked = found.Seq
		f.sent = min(cursor, max(found.Seq, cursor-maxReplay))
	case cursor > 0 && !f.dropped: // a broker that lets us read nothing tells nothing
		f.sent = f.past.before(ctx, f.opts.Outbox, cursor)
		f.hold = time.Now().Add(f.settleTime)
		f.opts.Log.Info("the broker has forgotten what was published; the latest events are sent again", "from_seq", f.sent+1, "to_seq", cursor)
	}
	f.sent = f.past.unproven(f.sent)
	f.acked.Store(f.sent)
	f.again.resume()
}

// begin takes the store's own word on how far events are.
func (f *outflow) begin() {
	f.epoch = f.opts.Epoch()
	cursor := f.opts.Outbox.Cursor()
	if f.past.epoch != f.epoch {
		if f.past.epoch != "" { // the store began anew: these are numbers of another
			f.again.forget()
			f.poison.forget()
		}
		f.past = past{epoch: f.epoch, start: cursor, proven: cursor, lost: f.past.lost}
	}
	f.sent, f.marked, f.ahead, f.hold = cursor, -1, 0, time.Time{}
	f.acked.Store(cursor)
}

// tellAhead says that the store was set back; false: that is to be tried
// again.
func (f *outflow) tellAhead(ctx context.Context) bool {
	if f.opts.Ahead == nil {
		f.opts.Log.Error("the broker has seen later events than the store knows: their numbers are given again", "broker_seq", f.ahead)
		f.ahead = 0
		return true
	}
	if err := f.opts.Ahead(ctx, f.ahead); err != nil {
		f.storeFailed("begin a new epoch", err)
		return false
	}
	f.begin()
	return true
}

// past is what is known of the events that were published, for a broker that
// forgets them. Times are those of the monotonic clock, but for what an
// earlier run published.
type past struct {
	epoch string
	// start is the cursor that this run began with.
	start int64
	// points are numbers that everything was acknowledged up to, oldest first.
	points []point
	// lost is when the last connection ended; zero: there was none.
	lost time.Time
	// proven is the last event that was seen to get through, and doubted tells
	// that a broker dropped what came later.
	proven  int64
	doubted bool
}

type point struct {
	at  time.Time
	seq int64
}

// note keeps a point, and forgets those that are of no use any more.
func (p *past) note(now time.Time, seq int64) {
	if n := len(p.points); n > 0 && p.points[n-1].seq >= seq {
		return
	}
	p.points = append(p.points, point{now, seq})
	for len(p.points) > 1 && now.Sub(p.points[1].at) > replaySpan {
		p.points = p.points[1:]
	}
}

// before is the number behind which the events lie that were published within
// replaySpan before the last connection ended.
func (p *past) before(ctx context.Context, out Outbox, cursor int64) int64 {
	from := int64(-1)
	for _, at := range p.points {
		if p.lost.Sub(at.at) < replaySpan {
			break
		}
		from = at.seq
	}
	if from < 0 {
		from = earlier(ctx, out, p.start)
	}
	return max(min(from, cursor), cursor-maxReplay, 0)
}

// earlier is before for what an earlier run published. When it ended nobody
// knows, so it is not later than its newest event.
func earlier(ctx context.Context, out Outbox, cursor int64) int64 {
	last, err := out.After(ctx, cursor-1, 1)
	if err != nil || len(last) == 0 || last[0].Seq > cursor {
		return max(0, cursor-maxReplay) // it cannot be told: rather too many
	}
	since := last[0].At.Add(-replaySpan)
	for seq := max(0, cursor-maxReplay); seq < cursor; {
		page, err := out.After(ctx, seq, eventsAtOnce)
		if err != nil || len(page) == 0 {
			return seq
		}
		for _, e := range page {
			if e.Seq > cursor || !e.At.Before(since) {
				return min(e.Seq-1, cursor)
			}
			seq = e.Seq
		}
	}
	return cursor
}

// unproven is seq, or earlier where a broker dropped what it acknowledged.
func (p *past) unproven(seq int64) int64 {
	if p.doubted {
		p.doubted = false
		return max(min(seq, p.proven), seq-maxReplay, 0)
	}
	return seq
}
