package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"fieldmedic/test/mosquitto"
)

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

// settle is how long a subject is left alone between two measurements.
const settle = 3 * time.Second

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
	time.Sleep(settle)
	if r.idle, err = p.memory("VmRSS"); err != nil {
		return r, err
	}
	if r.p50, r.p99, err = c.latency(1000, 10*time.Second); err != nil {
		return r, fmt.Errorf("latency: %w", err)
	}
	if r.fresh, err = b.throughput(p, c, freshFaults(b.count), s.isAgent, b.count); err != nil {
		return r, fmt.Errorf("fresh faults: %w", err)
	}
	time.Sleep(settle) // snapshots that waited behind the events are not the next one's
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

// freshFaults makes n messages, each the first of its fault: six thousand
// devices with as many different codes as it takes.
func freshFaults(n int) []status {
	const devices = 6000
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
