package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

const (
	eventTopic = "diagnostics/bench/event"
	// latencyDevices take turns in the measurement of latency.
	latencyDevices = 2500
)

// crowd is all devices at once, and the app that watches.
type crowd struct {
	devices, app paho.Client
	count        counter
	mu           sync.Mutex
	sent         map[string]time.Time
	took         []float64
}

func newCrowd(broker string) (*crowd, error) {
	c := &crowd{sent: make(map[string]time.Time)}
	connect := func(id string) (paho.Client, error) {
		client := paho.NewClient(paho.NewClientOptions().AddBroker(broker).SetClientID(id).SetAutoReconnect(false))
		if t := client.Connect(); !t.WaitTimeout(10*time.Second) || t.Error() != nil {
			return nil, fmt.Errorf("connect %s: %w", id, t.Error())
		}
		return client, nil
	}
	var err error
	if c.devices, err = connect("bench-devices"); err != nil {
		return nil, err
	}
	if c.app, err = connect("bench-app"); err != nil {
		return nil, err
	}
	t := c.app.Subscribe(eventTopic, 1, func(_ paho.Client, m paho.Message) { c.event(m.Payload()) })
	if !t.WaitTimeout(10*time.Second) || t.Error() != nil {
		return nil, fmt.Errorf("subscribe: %w", t.Error())
	}
	return c, nil
}

func (c *crowd) close() {
	c.devices.Disconnect(100)
	c.app.Disconnect(100)
}

// event takes one event; its msg is the mark of a latency measurement.
func (c *crowd) event(payload []byte) {
	now := time.Now()
	text := string(payload)
	if strings.HasPrefix(text, `{"schema"`) && !strings.Contains(text, `"type":"raised"`) {
		return // the agent's other words on a fault that was counted
	}
	c.count.one(now)
	if mark, ok := markIn(text); ok {
		c.mu.Lock()
		if at, ok := c.sent[mark]; ok {
			c.took = append(c.took, float64(now.Sub(at).Microseconds())/1000)
			delete(c.sent, mark)
		}
		c.mu.Unlock()
	}
}

func markIn(payload string) (string, bool) {
	_, rest, ok := strings.Cut(payload, `"msg":"mark `)
	mark, _, ok2 := strings.Cut(rest, `"`)
	return mark, ok && ok2
}

// send publishes a list with at most a thousand unacknowledged, at perSecond,
// or as fast as it goes for 0.
func (c *crowd) send(list []status, perSecond int) error {
	window := make(chan paho.Token, 1000)
	failed := make(chan error, 1)
	go func() {
		var first error
		for t := range window {
			if !t.WaitTimeout(60 * time.Second) {
				first = errors.New("the broker acknowledges nothing")
			} else if t.Error() != nil {
				first = t.Error()
			}
		}
		failed <- first
	}()
	start := time.Now()
	for i, m := range list {
		if perSecond > 0 {
			time.Sleep(time.Until(start.Add(time.Duration(i) * time.Second / time.Duration(perSecond))))
		}
		if mark, ok := markIn(m.payload); ok {
			c.mu.Lock()
			c.sent[mark] = time.Now()
			c.mu.Unlock()
		}
		window <- c.devices.Publish(m.topic, 1, false, m.payload)
	}
	close(window)
	return <-failed
}

// latency sends fresh faults at a rate, and answers the median and the 99th
// percentile from publish to event.
func (c *crowd) latency(perSecond int, during time.Duration) (p50, p99 float64, err error) {
	n := perSecond * int(during/time.Second)
	list := make([]status, n)
	for i := range list {
		list[i] = status{
			"devices/latency-" + strconv.Itoa(i%latencyDevices) + "/status",
			`{"status":` + code(i/latencyDevices) + `,"msg":"mark ` + strconv.Itoa(i) + `"}`,
		}
	}
	c.mu.Lock()
	c.took = nil
	c.mu.Unlock()
	if err := c.send(list, perSecond); err != nil {
		return 0, 0, err
	}
	time.Sleep(2 * time.Second)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.took) < 100 {
		return 0, 0, fmt.Errorf("only %d of %d events came", len(c.took), n)
	}
	slices.Sort(c.took)
	return c.took[len(c.took)/2], c.took[len(c.took)*99/100], nil
}

// warm waits until the subject answers.
func (c *crowd) warm() error {
	for i := range 200 {
		c.count.reset(1)
		if err := c.send([]status{{"devices/warm-" + strconv.Itoa(i) + "/status", `{"status":-4013}`}}, 0); err != nil {
			return err
		}
		if _, err := c.count.wait(time.Now(), 200*time.Millisecond); err == nil {
			time.Sleep(500 * time.Millisecond)
			return nil
		}
	}
	return errors.New("no event comes")
}

// counter counts events up to a wanted number.
type counter struct {
	mu   sync.Mutex
	n    int
	want int
	last time.Time
	full chan struct{}
}

func (c *counter) reset(want int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n, c.want, c.full = 0, want, make(chan struct{})
}

func (c *counter) one(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n++; c.n == c.want {
		c.last = now
		close(c.full)
	}
}

func (c *counter) wait(start time.Time, limit time.Duration) (time.Duration, error) {
	c.mu.Lock()
	full := c.full
	c.mu.Unlock()
	select {
	case <-full:
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.last.Sub(start), nil
	case <-time.After(limit):
		c.mu.Lock()
		defer c.mu.Unlock()
		return 0, fmt.Errorf("%d of %d events in %s", c.n, c.want, limit)
	}
}
