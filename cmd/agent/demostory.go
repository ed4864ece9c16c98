package main

import (
	"slices"
	"time"
)

// This file is what happens on the simulated site, and when. It knows no clock
// and no broker.

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

// demoEvent is something that happens: a device reports its state, or else a
// story is told.
type demoEvent struct {
	// at is counted from the start of the demo.
	at     time.Duration
	story  string
	device demoDevice
}

// demoTraffic yields all events in the order of their times. There is no end
// to them.
func demoTraffic(yield func(demoEvent) bool) {
	s := demoState{devices: demoDevices()}
	for i := range s.devices {
		// Those who are not hit at once say that they are well.
		s.devices[i].next = time.Duration(i+1) * demoBeat / time.Duration(len(s.devices))
	}
	for round := 0; ; round++ {
		from := time.Duration(round) * demoPass
		for _, step := range demoRound(round) {
			if !s.until(from+step.at, yield) || !s.take(from+step.at, step, yield) {
				return
			}
		}
		if !s.until(from+demoPass, yield) {
			return
		}
	}
}

// demoState is the devices as they are at one time.
type demoState struct{ devices []demoDevice }

// until lets devices report at their beat until a time.
func (s *demoState) until(end time.Duration, yield func(demoEvent) bool) bool {
	for {
		due := 0
		for i := range s.devices {
			if s.devices[i].next < s.devices[due].next {
				due = i
			}
		}
		at := s.devices[due].next
		if at > end {
			return true
		}
		if !s.report(at, due, yield) {
			return false
		}
	}
}

// take makes one step of a round: what happens is told, and who is hit reports
// at once.
func (s *demoState) take(at time.Duration, step demoStep, yield func(demoEvent) bool) bool {
	if step.story != "" && !yield(demoEvent{at: at, story: step.story}) {
		return false
	}
	for i := range s.devices {
		if !slices.Contains(step.devices, s.devices[i].id) {
			continue
		}
		s.devices[i].fault = step.fault
		if !s.report(at, i, yield) {
			return false
		}
	}
	return true
}

func (s *demoState) report(at time.Duration, i int, yield func(demoEvent) bool) bool {
	s.devices[i].next = at + demoBeat
	return yield(demoEvent{at: at, device: s.devices[i]})
}

// demoStep is one thing that happens in a round.
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
	dns                 []string
	board, remote, lock string
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
		{at: 0, story: "the router's DNS server fails: names of the cloud are not found", devices: cast.dns, fault: demoDNS()},
		{at: 1500 * time.Millisecond, story: "a connector comes loose inside " + cast.board, devices: one(cast.board), fault: demoBoard()},
		{at: 3 * time.Second, story: "somebody pairs " + cast.remote + " with another controller", devices: one(cast.remote), fault: demoKey()},
		{at: 4500 * time.Millisecond, story: "somebody locks " + cast.lock + " in the app", devices: one(cast.lock), fault: demoLocked()},
	}
	if round%demoFlapEvery == 0 {
		steps = append(steps, demoFlapping("kitchen-plug-kettle")...)
	}
	return append(steps,
		demoStep{at: 30 * time.Second, devices: one(cast.remote), fault: demoControlID()},
		demoStep{at: 45 * time.Second, story: "the router's DNS server answers again", devices: cast.dns},
		demoStep{at: 75 * time.Second, story: cast.remote + " is paired with this controller again", devices: one(cast.remote)},
		demoStep{at: 105 * time.Second, story: cast.lock + " is unlocked in the app", devices: one(cast.lock)},
		demoStep{at: 135 * time.Second, story: "the connector inside " + cast.board + " is pushed in", devices: one(cast.board)},
		demoStep{at: 150 * time.Second, story: "rest: every device says that it is well; the next trouble comes in a minute and a half"},
	)
}

// demoFlapping is a plug at the edge of the Wi-Fi: away and back four times.
func demoFlapping(id string) []demoStep {
	story := id + " is at the edge of the Wi-Fi: away and back, again and again"
	var steps []demoStep
	for i := range 4 {
		at := 6*time.Second + time.Duration(i)*5*time.Second
		steps = append(steps,
			demoStep{at: at, story: story, devices: []string{id}, fault: demoOffline()},
			demoStep{at: at + 2500*time.Millisecond, devices: []string{id}})
		story = ""
	}
	return steps
}
