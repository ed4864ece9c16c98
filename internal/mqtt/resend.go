package mqtt

import (
	"fmt"
	"sync"
	"time"
)

// resendEvery is how often events may be asked for again (contract section 4):
// everybody who subscribes gets them.
const resendEvery = time.Minute

// again is what somebody asked for to be sent again.
type again struct {
	mu sync.Mutex
	at time.Time // of the last request
	// from is the first event that is still to be acknowledged, and to the last;
	// 0: nothing is asked for. wanted: the session has not begun with it.
	from, to int64
	wanted   bool
}

// Resend sends the events from fromSeq on again, in order, before any later
// one. It does not block. The error says, to whoever asked, why not: at most
// once a minute, and 10,000 events at most.
func (p *Publisher) Resend(fromSeq int64) error {
	newest := p.opts.Outbox.Seq()
	switch {
	case fromSeq < 1:
		return fmt.Errorf("from_seq %d is no event's number (1 or more)", fromSeq)
	case fromSeq > newest:
		return fmt.Errorf("there is no event %d yet (the newest is %d)", fromSeq, newest)
	case newest-fromSeq+1 > maxReplay:
		return fmt.Errorf("that would be %d events, and %d at most are sent again (from_seq %d or later)", newest-fromSeq+1, maxReplay, newest-maxReplay+1)
	}
	if err := p.again.ask(fromSeq, p.opts.Outbox.Cursor()); err != nil {
		return err
	}
	p.nudge()
	return nil
}

func (a *again) ask(from, cursor int64) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if wait := resendEvery - time.Since(a.at); !a.at.IsZero() && wait > 0 {
		return fmt.Errorf("events were sent again less than a minute ago (try again in %d s)", int(wait.Seconds())+1)
	}
	a.at = time.Now()
	if from <= cursor { // else they are sent anyway
		a.from, a.to, a.wanted = from, cursor, true
	}
	return nil
}

// take is the first event that is to be sent again; 0: none, or it was told.
func (a *again) take() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.wanted {
		return 0
	}
	a.wanted = false
	return a.from
}

// arrived notes an acknowledgement.
func (a *again) arrived(seq int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.from == 0 || a.wanted || seq < a.from:
	case seq >= a.to:
		a.from, a.to = 0, 0
	default:
		a.from = seq + 1
	}
}

// resume lets a new session go on with what the last one left.
func (a *again) resume() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.wanted = a.from > 0
}

// forget drops what was asked for.
func (a *again) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.from, a.to, a.wanted = 0, 0, false
}
