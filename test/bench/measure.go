package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"fieldmedic/test/mosquitto"
)

const eventTopic = "diagnostics/bench/event"

// result is what one subject showed.
type result struct {
	fresh, repeats throughput
	p50, p99, cold float64 // milliseconds
	idle, full     float64 // MiB
	peak           float64
	size           float64 // MB
}

// throughput is one measurement: messages decided a second, and seconds of CPU
// for a million of them.
type throughput struct{ rate, cpu float64 }

type bench struct {
	broker *mosquitto.Broker
	dir    string
	count  int
}

// measure puts one subject through everything.
func (b *bench) measure(s subject) (result, error) {
	var r result
	var err error
	if r.cold, err = b.coldStart(s); err != nil {
		return r, fmt.Errorf("cold start: %w", err)
	}
	p, err := s.start(b.broker.URL())
	if err != nil {
		return r, err
	}
	defer p.stop()
	c, err := newCrowd(b.broker.URL())
	if err != nil {
		return r, err
	}
	defer c.close()
	if err := c.warm(); err != nil {
		return r, err
	}
	time.Sleep(2 * time.Second)
	if r.idle, err = p.memory("VmRSS"); err != nil {
		return r, err
	}
	if r.p50, r.p99, err = c.latency(1000, 10*time.Second); err != nil {
		return r, fmt.Errorf("latency: %w", err)
	}
	if r.fresh, err = b.throughput(p, c, freshFaults(b.count), s.isAgent, b.count); err != nil {
		return r, fmt.Errorf("fresh faults: %w", err)
	}
	if r.repeats, err = b.throughput(p, c, repeats(b.count), s.isAgent, b.count/100); err != nil {
		return r, fmt.Errorf("repeats: %w", err)
	}
	if r.peak, err = p.memory("VmHWM"); err != nil || !s.isAgent {
		return r, err
	}
	p.stop()
	if r.full, err = b.fullSite(s, c); err != nil {
		return r, fmt.Errorf("10,000 devices: %w", err)
	}
	info, err := os.Stat(s.binary)
	if err != nil {
		return r, err
	}
	r.size = float64(info.Size()) / 1e6
	return r, nil
}

// fullSite is the memory of an agent that starts with nothing and knows 10,000
// devices with a fault each.
func (b *bench) fullSite(s subject, c *crowd) (float64, error) {
	if err := os.RemoveAll(filepath.Join(b.dir, stateName)); err != nil {
		return 0, err
	}
	p, err := s.start(b.broker.URL())
	if err != nil {
		return 0, err
	}
	defer p.stop()
	if _, err = b.throughput(p, c, manyDevices(10_000), true, 10_000); err != nil {
		return 0, err
	}
	time.Sleep(2 * time.Second)
	return p.memory("VmRSS")
}

// status is one message to be sent.
type status struct {
	topic, payload string
}

// freshFaults makes n messages, each the first of its fault: a thousand
// devices with as many different codes as it takes.
func freshFaults(n int) []status {
	const devices = 1000
	list := make([]status, n)
	for i := range list {
		list[i] = status{"devices/fresh-" + strconv.Itoa(i%devices) + "/status", `{"status":` + code(i/devices) + `,"msg":"failed"}`}
	}
	return list
}

// repeats makes n messages of a thousand devices, of which one in a hundred is
// a fresh fault and the others say again what was said.
func repeats(n int) []status {
	const devices = 1000
	list := make([]status, n)
	for i := range list {
		fresh := i / 100
		device := "devices/again-" + strconv.Itoa(fresh%devices) + "/status"
		list[i] = status{device, `{"status":` + code(fresh/devices) + `,"msg":"failed"}`}
	}
	return list
}

func manyDevices(n int) []status {
	list := make([]status, n)
	for i := range list {
		list[i] = status{"devices/many-" + strconv.Itoa(i) + "/status", `{"status":-4013}`}
	}
	return list
}

// code is one of the vendor's codes with a condition of its own.
func code(i int) string {
	codes := []int{
		-4013, -7, -1, -3, -4000, -4028, -4012, -4034, -2, -5, -6, -8, -9, -10, -11, -4001, -4020, -4023, -4024, -4025,
		-4029, -4030, -4035, -4036, -4039, -4043, -49001, -49002, -49004, -49006, -49008, -49009, -3001, -3002, -3004,
		-3005, -3006, -3007, -3008, -3009, -3103,
	}
	return strconv.Itoa(codes[i%len(codes)])
}

// throughput sends all messages as fast as the broker takes them, and waits
// until the subject has decided all: the agent says so by its last events, the
// echo by as many messages.
func (b *bench) throughput(p *process, c *crowd, list []status, isAgent bool, events int) (throughput, error) {
	want := len(list)
	if isAgent {
		want = events
	}
	before, err := p.cpu()
	if err != nil {
		return throughput{}, err
	}
	c.count.reset(want)
	start := time.Now()
	if err := c.send(list, 0); err != nil {
		return throughput{}, err
	}
	took, err := c.count.wait(start, 5*time.Minute)
	if err != nil {
		return throughput{}, err
	}
	after, err := p.cpu()
	n := float64(len(list))
	return throughput{rate: n / took.Seconds(), cpu: (after - before) / n * 1e6}, err
}

// coldStart is the time from starting the program to its first event, for a
// message that waited in its session.
func (b *bench) coldStart(s subject) (float64, error) {
	c, err := newCrowd(b.broker.URL())
	if err != nil {
		return 0, err
	}
	defer c.close()
	p, err := s.start(b.broker.URL()) // the first start makes the session
	if err != nil {
		return 0, err
	}
	if err := c.warm(); err != nil {
		p.stop()
		return 0, err
	}
	p.stop()
	var times []float64
	for i := range 5 {
		c.count.reset(1)
		if err := c.send([]status{{"devices/cold-" + strconv.Itoa(i) + "/status", `{"status":-4013}`}}, 0); err != nil {
			return 0, err
		}
		start := time.Now()
		if p, err = s.start(b.broker.URL()); err != nil {
			return 0, err
		}
		took, err := c.count.wait(start, 30*time.Second)
		p.stop()
		if err != nil {
			return 0, err
		}
		times = append(times, float64(took.Microseconds())/1000)
	}
	slices.Sort(times)
	return times[len(times)/2], nil
}

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
				first = fmt.Errorf("the broker acknowledges nothing")
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
			"devices/latency-" + strconv.Itoa(i%500) + "/status",
			`{"status":` + code(i/500) + `,"msg":"mark ` + strconv.Itoa(i) + `"}`,
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
	return fmt.Errorf("no event comes")
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
