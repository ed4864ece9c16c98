package main

import (
	"context"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"
)

const (
	// stamp is how times are printed.
	stamp = "15:04:05.000"
	// retryEvery is how long the harness's own clients wait for a broker.
	retryEvery = 20 * time.Millisecond
	// unacknowledged is how many messages the devices have under way.
	unacknowledged = 64
	// liveDevices is how many devices the site keeps: few, for a broker that
	// saves on every change writes all their snapshots each time.
	liveDevices = 40
)

// devices is all devices in one connection: they send each report until the
// broker acknowledges it.
type devices struct {
	address string
	ledger  *ledger
	every   time.Duration
	stopped chan struct{} // closed: nothing new is sent

	last  uint16
	under []*outgoing // sent or to be sent again, oldest first
}

// outgoing is one message under way; without a payload it removes its device.
type outgoing struct {
	report *report
	remove bool
	id     uint16
}

// run sends until ctx ends.
func (d *devices) run(ctx context.Context) {
	for ctx.Err() == nil {
		c, err := dial(d.address, "chaos-devices-"+strconv.FormatUint(d.ledger.seed, 10), true)
		if err != nil {
			pause(ctx, retryEvery)
			continue
		}
		d.serve(ctx, c)
		_ = c.conn.Close() // it is of no use any more
	}
}

// serve sends on one connection until it fails.
func (d *devices) serve(ctx context.Context, c *client) {
	acks, lost := make(chan uint16, unacknowledged), make(chan struct{})
	go func() {
		defer close(lost)
		for {
			f, err := readFrame(c.r)
			if err != nil {
				return
			}
			if f.kind == packetPuback {
				acks <- f.packetID()
			}
		}
	}()
	defer func() {
		_ = c.conn.Close() // ends the reader
		for {
			select {
			case id := <-acks: // they came, whatever became of the connection
				d.acknowledged(id)
			case <-lost:
				return
			}
		}
	}()
	for _, o := range d.under {
		if d.send(c, o, true) != nil {
			return
		}
	}
	tick := time.NewTicker(d.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-lost:
			return
		case id := <-acks:
			d.acknowledged(id)
		case <-tick.C:
			if d.more(c) != nil {
				return
			}
		}
	}
}

// more sends one new report, and removes devices that are done with.
func (d *devices) more(c *client) error {
	if len(d.under) >= unacknowledged {
		return nil
	}
	select {
	case <-d.stopped:
		return nil
	default:
	}
	fresh := []*outgoing{{report: d.ledger.next()}}
	for _, r := range d.ledger.retire(liveDevices) {
		fresh = append(fresh, &outgoing{report: r, remove: true})
	}
	d.under = append(d.under, fresh...)
	for _, o := range fresh {
		if err := d.send(c, o, false); err != nil {
			return err
		}
	}
	return nil
}

func (d *devices) send(c *client, o *outgoing, again bool) error {
	if o.id == 0 {
		if d.last++; d.last == 0 {
			d.last++
		}
		o.id = d.last
	}
	var payload []byte
	if !o.remove {
		payload = o.report.payload()
	}
	return c.publish(o.report.topic(), payload, o.id, again)
}

func (d *devices) acknowledged(id uint16) {
	for i, o := range d.under {
		if o.id == id {
			d.under = append(d.under[:i:i], d.under[i+1:]...)
			if !o.remove {
				d.ledger.byBroker(o.report)
			}
			return
		}
	}
}

// app is a consumer with a persistent session: it acknowledges what it wrote
// down.
type app struct {
	address, id string
	// tell writes an event down.
	tell  func(body)
	topic string
	ready chan struct{} // closed when it is subscribed for the first time
	once  sync.Once
	// naps: it is away now and then, and its session must wait for it; nil:
	// never.
	naps *rand.Rand
}

func newApp(address, id, topic string, tell func(body)) *app {
	return &app{address: address, id: id, topic: topic, tell: tell, ready: make(chan struct{})}
}

const (
	// awakeAtMost and awayAtMost bound how long an app with naps stays and goes.
	awakeAtMost = 4 * time.Second
	awayAtMost  = 2 * time.Second
)

func (a *app) run(ctx context.Context) {
	for ctx.Err() == nil {
		if c, err := dial(a.address, a.id, false); err == nil {
			awake, done := ctx, context.CancelFunc(func() {})
			if a.naps != nil {
				awake, done = context.WithTimeout(ctx, time.Duration(a.naps.Int64N(int64(awakeAtMost))))
			}
			stop := context.AfterFunc(awake, func() { _ = c.conn.Close() }) // ends the reading
			a.serve(c)
			if awake.Err() != nil && ctx.Err() == nil {
				pause(ctx, time.Duration(a.naps.Int64N(int64(awayAtMost))))
			}
			stop()
			done()
			_ = c.conn.Close() // it is of no use any more
		}
		pause(ctx, retryEvery)
	}
}

func (a *app) serve(c *client) {
	if c.subscribe(a.topic) != nil {
		return
	}
	for {
		f, err := readFrame(c.r)
		if err != nil {
			return
		}
		if f.kind == packetSuback {
			a.once.Do(func() { close(a.ready) })
		}
		p, ok := f.publication()
		if !ok {
			continue
		}
		if b, err := parseEvent(p.payload); err == nil {
			a.tell(b)
		}
		if c.puback(p.id) != nil {
			return
		}
	}
}

// pause waits, but not beyond ctx.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
