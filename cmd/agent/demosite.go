package main

import (
	"context"
	"fmt"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// demoSite is the simulated site: twelve devices that report their state every
// now and then, and at once when it changes.
type demoSite struct {
	client paho.Client
	// tell says what happens on the site, so that a watcher can compare it
	// with what is diagnosed.
	tell    func(string)
	devices []*demoDevice
}

const (
	// demoBeat is how often each device reports. Reports that count for
	// confirmation are 10 s apart.
	demoBeat = 11 * time.Second
	// demoPass is one round of trouble with a rest behind it. Four rounds
	// differ in who is hit, so that nobody but the flapping plug breaks three
	// times in half an hour, which would count as flapping.
	demoPass = 4 * time.Minute
	// demoFlapEvery so many rounds: the plug must have been well for half an
	// hour to be told anew.
	demoFlapEvery = 10
)

// newDemoSite connects the site's gateway program to the broker.
func newDemoSite(ctx context.Context, broker string, tell func(string)) (*demoSite, func(), error) {
	client, err := demoClient(ctx, broker, "demo-site", nil)
	if err != nil {
		return nil, nil, err
	}
	return &demoSite{client: client, tell: tell, devices: demoDevices()}, func() { client.Disconnect(100) }, nil
}

// demoClient connects to the demo's broker. Nothing is to be lost or repeated
// on this way, so it makes one connection and never another.
func demoClient(ctx context.Context, broker, id string, received func(paho.Message)) (paho.Client, error) {
	opts := paho.NewClientOptions().AddBroker("tcp://" + broker).SetClientID(id).
		SetAutoReconnect(false).SetConnectRetry(false).SetConnectTimeout(5 * time.Second)
	if received != nil {
		opts.SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) { received(m) })
	}
	client := paho.NewClient(opts)
	if err := demoWait(ctx, client.Connect()); err != nil {
		return nil, fmt.Errorf("connect to the demo's broker: %w", err)
	}
	return client, nil
}

func demoWait(ctx context.Context, token paho.Token) error {
	select {
	case <-token.Done():
		return token.Error()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run lets the site live until ctx ends.
func (s *demoSite) run(ctx context.Context) error {
	started := time.Now()
	for i, d := range s.devices {
		// Those who are not hit at once say that they are well.
		d.next = started.Add(time.Duration(i+1) * demoBeat / time.Duration(len(s.devices)))
	}
	for round := 0; ; round++ {
		from := started.Add(time.Duration(round) * demoPass)
		for _, step := range demoRound(round) {
			if err := s.until(ctx, from.Add(step.at)); err != nil || ctx.Err() != nil {
				return err
			}
			if err := s.take(ctx, step); err != nil || ctx.Err() != nil {
				return ignoreEnd(ctx, err)
			}
		}
		if err := s.until(ctx, from.Add(demoPass)); err != nil || ctx.Err() != nil {
			return err
		}
	}
}

// ignoreEnd drops the error of a publish that the end cut short.
func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// take makes one step of the round: what happens is told, and who is hit
// reports at once.
func (s *demoSite) take(ctx context.Context, step demoStep) error {
	if step.story != "" {
		s.tell(step.story)
	}
	for _, id := range step.devices {
		for _, d := range s.devices {
			if d.id != id {
				continue
			}
			d.fault = step.fault
			if err := s.report(ctx, d); err != nil {
				return err
			}
		}
	}
	return nil
}

// until lets devices report until a time.
func (s *demoSite) until(ctx context.Context, end time.Time) error {
	for {
		var due *demoDevice
		for _, d := range s.devices {
			if due == nil || d.next.Before(due.next) {
				due = d
			}
		}
		if due.next.After(end) {
			pause(ctx, time.Until(end))
			return nil
		}
		if !pause(ctx, time.Until(due.next)) {
			return nil
		}
		if err := s.report(ctx, due); err != nil {
			return ignoreEnd(ctx, err)
		}
	}
}

// report publishes the state of a device.
func (s *demoSite) report(ctx context.Context, d *demoDevice) error {
	now := time.Now()
	d.next = now.Add(demoBeat)
	payload, err := d.payload(now)
	if err != nil {
		return fmt.Errorf("make a report of %s: %w", d.id, err)
	}
	if err := demoWait(ctx, s.client.Publish("devices/"+d.id+"/status", 1, false, payload)); err != nil {
		return fmt.Errorf("publish a report of %s: %w", d.id, err)
	}
	return nil
}

// demoStep is one thing that happens on the site.
type demoStep struct {
	// at is counted from the start of the round.
	at time.Duration
	// story is what a watcher on the spot would say, or nothing.
	story   string
	devices []string
	// fault is what the devices report from now on; nil: they are well.
	fault *demoFault
}

// demoCast is who is hit in a round.
type demoCast struct {
	dns                  []string
	board, remote, locks string
}

func demoCasts() []demoCast {
	return []demoCast{
		{[]string{"living-lamp", "kitchen-lamp", "kitchen-boiler"}, "living-ac", "living-remote", "living-plug-tv"},
		{[]string{"living-ac", "living-thermostat", "living-curtain"}, "kitchen-ac", "kitchen-remote", "kitchen-plug-fridge"},
		{[]string{"kitchen-ac", "kitchen-remote", "kitchen-plug-fridge"}, "living-curtain", "living-thermostat", "living-lamp"},
		{[]string{"living-remote", "living-plug-tv", "kitchen-plug-kettle"}, "kitchen-boiler", "living-curtain", "kitchen-lamp"},
	}
}

// demoRound is what happens in a round, in order of time: everything breaks
// within a few seconds, and is then mended piece by piece.
func demoRound(round int) []demoStep {
	casts := demoCasts()
	cast := casts[round%len(casts)]
	one := func(id string) []string { return []string{id} }
	steps := []demoStep{
		{at: 0, story: "the router's DNS server fails: the cloud's names are not found", devices: cast.dns, fault: demoDNS()},
		{at: 2 * time.Second, story: "a plug comes loose inside " + cast.board, devices: one(cast.board), fault: demoBoard()},
		{at: 4 * time.Second, story: "somebody pairs " + cast.remote + " with another controller", devices: one(cast.remote), fault: demoKey()},
		{at: 6 * time.Second, story: "somebody locks " + cast.locks + " in the app", devices: one(cast.locks), fault: demoLocked()},
	}
	if round%demoFlapEvery == 0 {
		steps = append(steps, demoFlapping("kitchen-plug-kettle")...)
	}
	return append(steps,
		demoStep{at: 30 * time.Second, devices: one(cast.remote), fault: demoControlID()},
		demoStep{at: 45 * time.Second, story: "the router's DNS server answers again", devices: cast.dns},
		demoStep{at: 75 * time.Second, story: cast.remote + " is paired anew", devices: one(cast.remote)},
		demoStep{at: 105 * time.Second, story: cast.locks + " is unlocked in the app", devices: one(cast.locks)},
		demoStep{at: 135 * time.Second, story: "the plug inside " + cast.board + " is pushed in", devices: one(cast.board)},
		demoStep{at: 150 * time.Second, story: "rest: all devices report that they are well; the next trouble comes in a minute and a half"},
	)
}

// demoFlapping is a plug at the edge of the Wi-Fi: away and back four times.
func demoFlapping(id string) []demoStep {
	story := id + " is at the edge of the Wi-Fi: away and back, again and again"
	var steps []demoStep
	for i := range 4 {
		at := 8*time.Second + time.Duration(i)*5*time.Second
		steps = append(steps,
			demoStep{at: at, story: story, devices: []string{id}, fault: demoOffline()},
			demoStep{at: at + 2500*time.Millisecond, devices: []string{id}})
		story = ""
	}
	return steps
}
