package mqtt

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/google/uuid"
)

// This file tells a second client on our client id from a broker that restarts
// and from links that break. A broker closes the connection of the older of two
// clients, and each that comes back at once takes over from the other for ever
// (MQTT 3.1.1, 3.1.4: [MQTT-3.1.4-2]).
//
// Losses alone prove nothing. After a few early ones in a row, without a dial
// that failed between, a trial is held: two probes connect under other ids, then
// we do, and say nothing, so that it cannot be for what we say. When the broker
// closes that connection and both probes outlive it by ten times as long as it
// held, it was a takeover. Links that break at random, each at the same rate,
// bring that about once in 21 trials; two in a row are wanted, and a second
// series needs four early losses again.

const (
	// suspectLosses are the early losses in a row before a trial, and proofs the
	// trials in a row that must say so. With one connection each, a minute sees
	// six takeovers at most.
	suspectLosses = 4
	proofs        = 2
	// probeCount is how many probes there are, and outlives how many times as long
	// as the connection they must hold.
	probeCount = 2
	outlives   = 10
	// maxLinger bounds that.
	maxLinger = time.Minute
)

// errRival says that another client uses our client id.
var errRival = errors.New("another client connects with this client id, and the broker gives us up for it " +
	"(stop that one, or set another mqtt.client_id)")

// rivals is what a link knows of other clients on its id. It belongs to the
// goroutine that runs the link.
type rivals struct {
	// early counts early losses in a row, and longest is how long the longest
	// of these connections held.
	early   int
	longest time.Duration
	// proofs counts trials in a row; named: there is a rival for sure.
	proofs int
	named  bool
}

// trial is one connection that is watched together with probes.
type trial struct {
	probes []*session
	// quiet is how long the connection must hold before it is used.
	quiet  time.Duration
	linger time.Duration
}

// trial begins one where there is a suspicion; nil: there is none, or a probe
// is not let in, and nothing can be proven.
func (l *link) trial(ctx context.Context) *trial {
	r := &l.rivals
	if !r.named && r.early < suspectLosses {
		return nil
	}
	// As long as the other one took to come back of late, and longer; once it was
	// seen, as long as it may take.
	t := &trial{quiet: min(max(4*r.longest, l.pace.calm), l.pace.early), linger: l.pace.calm}
	if r.named || r.proofs > 0 {
		t.quiet = l.pace.early
	}
	for range probeCount {
		probe, err := dial(ctx, l.profile.probe())
		if err != nil {
			if nobodyThere(err) {
				*r = rivals{}
			}
			t.end()
			return nil
		}
		t.probes = append(t.probes, probe)
	}
	return t
}

// probe is a profile that goes the same way under another id, and leaves
// nothing behind. The id is nobody else's: two agents on one client id would
// take their probes over as well.
func (p profile) probe() profile {
	return profile{
		server: p.server, clientID: p.clientID + "-probe-" + uuid.NewString()[:8], clean: true,
		handler: func(*session, paho.Message) {}, skipped: func(tooLarge) {}, patience: p.patience,
	}
}

// holds waits whether the connection holds without a word of ours.
func (t *trial) holds(ctx context.Context, s *session) error {
	timer := time.NewTimer(t.quiet)
	defer timer.Stop()
	select {
	case <-s.lost:
		return s.lostError()
	case <-timer.C:
	case <-ctx.Done(): // who serves says farewell
	}
	return nil
}

// proves tells whether a connection that held so long and that the broker
// closed was taken over: the probes hold on, and are answered.
func (t *trial) proves(ctx context.Context, held time.Duration) bool {
	until := time.Now().Add(max(t.linger, min(outlives*held, maxLinger)))
	for time.Now().Before(until) {
		for _, p := range t.probes {
			if p.isLost() || ctx.Err() != nil {
				return false
			}
		}
		sleep(ctx, t.linger/looks)
	}
	for _, p := range t.probes {
		// Every broker answers this, whatever its access list says.
		if p.unsubscribe(ctx, []string{"probe"}) != nil {
			return false
		}
	}
	return true
}

func (t *trial) end() {
	for _, p := range t.probes {
		p.leave()
		p.cut(errEnded)
	}
}

// ended takes in why a connection ended that held so long, and the trial that
// it was lost in, or nil. What it answers is err, or a better one.
func (l *link) ended(ctx context.Context, t *trial, held time.Duration, cause, err error) error {
	r := &l.rivals
	if !closedByBroker(cause) || held > l.pace.early {
		*r = rivals{}
		return err
	}
	r.early++
	r.longest = max(r.longest, held)
	if t == nil {
		return err
	}
	if !t.proves(ctx, held) {
		r.proofs, r.named = 0, false
		return err
	}
	if r.proofs++; r.named || r.proofs >= proofs {
		r.named = true
		return fmt.Errorf("%w: %w", errRival, err)
	}
	return err
}

// closedByBroker tells whether the other side ended the connection; a web
// socket has its own words for it.
func closedByBroker(err error) bool {
	return err != nil && (closedByPeer(err) || strings.Contains(err.Error(), "websocket: close"))
}
