package main

import (
	"context"
	"fmt"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// demoSite publishes what the simulated site says, as the gateway program of
// a real one would.
type demoSite struct {
	client paho.Client
	// tell says what happens on the site, so that a watcher can compare it
	// with what is diagnosed.
	tell func(string)
}

// newDemoSite connects the site's gateway program to the broker.
func newDemoSite(ctx context.Context, broker string, tell func(string)) (*demoSite, func(), error) {
	client, err := demoClient(ctx, broker, "demo-site", nil)
	if err != nil {
		return nil, nil, err
	}
	return &demoSite{client: client, tell: tell}, func() { client.Disconnect(100) }, nil
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
	for event := range demoTraffic {
		if !pause(ctx, time.Until(started.Add(event.at))) {
			return nil
		}
		if event.story != "" {
			s.tell(event.story)
			continue
		}
		payload, err := event.device.payload(time.Now())
		if err != nil {
			return fmt.Errorf("make a report of %s: %w", event.device.id, err)
		}
		err = demoWait(ctx, s.client.Publish("devices/"+event.device.id+"/status", 1, false, payload))
		if ctx.Err() != nil {
			return nil // the end cut it short
		}
		if err != nil {
			return fmt.Errorf("publish a report of %s: %w", event.device.id, err)
		}
	}
	return nil
}
