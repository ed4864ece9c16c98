package main

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"fieldmedic/internal/diagnose"
	"fieldmedic/internal/mqtt"
)

// This file is how the agent watches itself: it is a device too, and its own
// faults are diagnoses of scope agent.

// The names of the agent's own faults: conditions of the pack "agent".
const (
	ownStorageFull    = string(diagnose.StorageFull)
	ownStorageFailed  = string(diagnose.StorageFailed)
	ownStoreDamaged   = "store-damaged"
	ownEventsDropped  = "events-dropped"
	ownUnreachable    = "broker-unreachable"
	ownAuthFailed     = "broker-auth-failed"
	ownDenied         = "broker-acl-denied"
	ownClientConflict = "broker-client-id-conflict"
	ownGatewayID      = "gateway-id-conflict"
	ownStalled        = "broker-stalled"
	ownTLSExpired     = "broker-tls-expired"
	ownTLSFailed      = "broker-tls-failed"
	ownInputDropped   = "input-dropped"
	ownSlowTurn       = "slow-turn"
	ownClock          = "clock-suspect"
	ownConfiguration  = "configuration-rejected"
)

// linkFaults are the states of a connection that are faults of our own.
// Connecting, paused and connected are none; a full inbox shows as input that
// waits or is dropped.
func linkFaults() map[mqtt.LinkState]string {
	return map[mqtt.LinkState]string{
		mqtt.LinkUnreachable:     ownUnreachable,
		mqtt.LinkAuthFailed:      ownAuthFailed,
		mqtt.LinkDenied:          ownDenied,
		mqtt.LinkClientConflict:  ownClientConflict,
		mqtt.LinkGatewayConflict: ownGatewayID,
		mqtt.LinkStalled:         ownStalled,
		mqtt.LinkTLSExpired:      ownTLSExpired,
		mqtt.LinkTLSFailed:       ownTLSFailed,
	}
}

const (
	// ownEvery is how often the agent looks at itself.
	ownEvery = time.Second
	// slowTurnAfter is how long a turn may take: the watchdog waits 20 s, and a
	// turn takes milliseconds.
	slowTurnAfter = 2 * time.Second
	// afterglow is how long after the last sign a fault without an end of its
	// own, such as dropped input, is taken to be over.
	afterglow = 5 * time.Minute
)

// ownFaults keeps which faults of the agent stand, and tells the loop and the
// topic `state` of each when it begins and ends. What the loop could not take
// is told again: it is a state that is told, not a change.
type ownFaults struct {
	// deliver hands an observation to the loop; false: not now.
	deliver func(diagnose.Delivery) bool
	// show publishes the names of those that stand; it must not block.
	show func([]string)
	now  func() time.Time

	mu     sync.Mutex
	stands map[string]ownFault
	// untold are those of which the loop does not know yet how they stand.
	untold map[string]bool
}

// ownFault is one that stands: what was seen, and until when it is taken to
// stand where nobody tells its end.
type ownFault struct {
	detail string
	until  time.Time
}

func newOwnFaults(now func() time.Time, deliver func(diagnose.Delivery) bool, show func([]string)) *ownFaults {
	o := &ownFaults{deliver: deliver, show: show, now: now, stands: make(map[string]ownFault), untold: make(map[string]bool)}
	o.again()
	return o
}

// again forgets what was told: after a start, and after the engine was made
// anew, it may hold faults that are over. What merely happened once, such as a
// damaged store, ends by its rule, and not by our word.
func (o *ownFaults) again() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, name := range linkFaults() {
		o.untold[name] = true
	}
	for _, name := range []string{ownStorageFull, ownStorageFailed, ownInputDropped, ownSlowTurn, ownClock, ownConfiguration} {
		o.untold[name] = true
	}
	for name := range o.stands {
		o.untold[name] = true
	}
}

// set says that a fault stands until its end is told.
func (o *ownFaults) set(name, detail string) { o.put(name, ownFault{detail: detail}) }

// happened says that something went wrong that has no end of its own; it is
// taken to stand for a while.
func (o *ownFaults) happened(name, detail string) {
	o.put(name, ownFault{detail: detail, until: time.Now().Add(afterglow)})
}

func (o *ownFaults) put(name string, f ownFault) {
	o.mu.Lock()
	_, stood := o.stands[name]
	o.stands[name] = f
	if !stood {
		o.untold[name] = true
	}
	names := o.names()
	o.mu.Unlock()
	if !stood {
		o.show(names)
	}
}

// end says that a fault is over.
func (o *ownFaults) end(name string) {
	o.mu.Lock()
	_, stood := o.stands[name]
	delete(o.stands, name)
	if stood {
		o.untold[name] = true
	}
	names := o.names()
	o.mu.Unlock()
	if stood {
		o.show(names)
	}
}

// names are those that stand, by name; mu is held.
func (o *ownFaults) names() []string { return slices.Sorted(maps.Keys(o.stands)) }

// list is names for others.
func (o *ownFaults) list() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.names()
}

// tell brings the loop up to date, and ends what nobody saw for a while.
func (o *ownFaults) tell() {
	o.mu.Lock()
	var over []string
	for name, f := range o.stands {
		if !f.until.IsZero() && time.Now().After(f.until) {
			over = append(over, name)
		}
	}
	o.mu.Unlock()
	for _, name := range over {
		o.end(name)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(o.untold)) {
		f, stands := o.stands[name]
		if said(name, stands) {
			delete(o.untold, name)
			continue
		}
		says := diagnose.SaysOver
		if stands {
			says = diagnose.SaysFault
		}
		if o.deliver(ownDelivery(o.now(), name, says, f.detail)) {
			delete(o.untold, name)
		}
	}
}

// said tells that it is not for us to say how a fault stands: that the store
// fails is said by the loop itself, and what merely happened is ended by its
// rule.
func said(name string, stands bool) bool {
	switch name {
	case ownStorageFull, ownStorageFailed:
		return stands
	case ownStoreDamaged, ownEventsDropped:
		return !stands
	}
	return false
}

// ownDelivery is the agent's word on one of its own faults.
func ownDelivery(now time.Time, name string, says diagnose.Saying, detail string) diagnose.Delivery {
	return diagnose.Delivery{Critical: true, Observation: &diagnose.Observation{
		Source: string(diagnose.ProducerAgent), At: now, Says: says, CodeRaw: name, Msg: mqtt.CleanText(detail),
		Key: diagnose.Key{Producer: diagnose.ProducerAgent, Name: name},
	}}
}

// watchOwn looks at the agent's own state until ctx ends.
func (a *agent) watchOwn(ctx context.Context) error {
	ticker := time.NewTicker(ownEvery)
	defer ticker.Stop()
	var dropped int64
	damage := ""
	for {
		if r := a.store.Opened(); r.Lossy() && r.String() != damage {
			damage = r.String()
			a.own.happened(ownStoreDamaged, damage)
		}
		in, out := a.inbound.State(), a.outbound.State()
		a.own.links(in, out)
		if out.State == mqtt.LinkConnected {
			a.adopted.Store(true)
		}
		if n := a.dropped.Load(); n != dropped {
			a.own.happened(ownInputDropped, "messages of QoS 0 found the inbox full")
			dropped = n
		}
		if a.clock.suspect() {
			a.own.set(ownClock, "the clock jumped of late, or was never set")
		} else {
			a.own.end(ownClock)
		}
		a.own.tell()
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// links takes over how the two connections stand.
func (o *ownFaults) links(states ...mqtt.LinkStatus) {
	faults := linkFaults()
	bad := make(map[string]string)
	for _, s := range states {
		if name, ok := faults[s.State]; ok {
			bad[name] = s.Detail
		}
	}
	for _, name := range faults {
		if detail, ok := bad[name]; ok {
			o.set(name, detail)
		} else {
			o.end(name)
		}
	}
}

// storage is told by the loop when nothing can be made durable, and when it can
// be again.
func (a *agent) storage(fault diagnose.StorageFault, err error) {
	if fault == "" {
		a.log.Info("the store can be written again")
		a.failed.Store(nil)
		a.own.end(ownStorageFull)
		a.own.end(ownStorageFailed)
		a.own.again()
		a.inbound.Resume()
		return
	}
	a.log.Error("nothing can be stored: no message is taken until it can", "state", fault, "err", err)
	a.failed.Store(&storageFailure{fault: fault, err: err})
	a.inbound.Pause(err)
	a.own.set(string(fault), err.Error())
}

// storageFailure is what the store stands still for.
type storageFailure struct {
	fault diagnose.StorageFault
	err   error
	// site is the site's snapshot that could not be stored.
	site atomic.Pointer[diagnose.Snapshot]
}
