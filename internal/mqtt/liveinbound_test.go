package mqtt

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"fieldmedic/internal/diagnose"
	"fieldmedic/test/mosquitto"
)

// code of a delivery that is an observation.
func code(t *testing.T, d diagnose.Delivery) int64 {
	t.Helper()
	if d.Observation == nil {
		t.Fatalf("no observation: %+v", d)
	}
	return int64(d.Observation.Key.Code)
}

func TestLiveUnacknowledgedComesAgain(t *testing.T) {
	l := startLive(t, mosquitto.Options{})
	l.proxy = startProxy(t, l.broker.Address())
	l.app = newApp(t, l.broker.URL(), "app")
	stop := l.connect(statusSource(t))
	for i := 1; i <= 3; i++ {
		l.app.publish("devices/a/status", 1, false, fmt.Sprintf(`{"status":-%d}`, 4000+i))
	}
	first := l.next()
	l.next()
	l.next()
	first.Ack()
	time.Sleep(100 * time.Millisecond) // the acknowledgement reaches the broker

	l.proxy.cut()
	second, third := l.next(), l.next()
	if a, b := code(t, second), code(t, third); a != -4002 || b != -4003 {
		t.Fatalf("came again: %d, %d", a, b)
	}
	l.nothing() // and the first, which was acknowledged, did not
	second.Ack()
	third.Ack()
	first.Ack() // on a connection that is gone: nothing happens
	l.standing()

	stop()
	l.app.publish("devices/a/status", 1, false, `{"status":-4004}`)
	l.connect(statusSource(t))
	d := l.next()
	if got := code(t, d); got != -4004 {
		t.Errorf("while stopped %d was published", got)
	}
	d.Ack()
	l.nothing()
}

func TestLiveBrokerComesLater(t *testing.T) {
	l := startLive(t, mosquitto.Options{})
	if err := l.broker.Stop(); err != nil {
		t.Fatal(err)
	}
	l.run(statusSource(t))
	eventually(t, "the broker is unreachable", func() bool {
		return l.in.State().State == LinkUnreachable && l.out.State().State == LinkUnreachable && l.in.State().Detail != ""
	})
	if err := l.broker.Run(); err != nil {
		t.Fatal(err)
	}
	within(t, 5*time.Second, "it is used as soon as it is there", func() bool {
		return l.in.State().State == LinkConnected && l.out.State().State == LinkConnected
	})
}

func TestLiveBrokerRestarts(t *testing.T) {
	for _, persistence := range []string{"persistence false", "persistence true\nautosave_interval 1"} {
		l := startLive(t, mosquitto.Options{Lines: []string{persistence}})
		l.connect(statusSource(t))
		for name, end := range map[string]func() error{"a kill": l.broker.Kill, "a stop": l.broker.Stop} {
			if err := errors.Join(end(), l.broker.Run()); err != nil {
				t.Fatal(err)
			}
			up := time.Now()
			device := newApp(t, l.broker.URL(), "device after "+name)
			within(t, 5*time.Second, "messages flow again", func() bool {
				device.publish("devices/a/status", 1, false, `{"status":-7}`)
				select {
				case d := <-l.got:
					d.Ack()
					return true
				case <-time.After(20 * time.Millisecond):
					return false
				}
			})
			t.Logf("%q after %v: flows after %v", persistence, name, time.Since(up).Round(time.Millisecond))
			device.client.Disconnect(100)
		}
	}
}

func TestFirstDelaysAreShort(t *testing.T) {
	var longest time.Duration
	for range 1000 {
		d := newDelays(defaultPace())
		for range 3 {
			longest = max(longest, d.next(LinkUnreachable, fmt.Errorf("lost")))
		}
		for range 3 {
			longest = max(longest, d.next(LinkUnreachable, fmt.Errorf("dial: %w", refusedDial())))
		}
		for i := range 50 {
			if delay := d.next(LinkUnreachable, refusedDial()); delay > 4*time.Second {
				t.Fatalf("try %d of a broker that is not there waits %v", i, delay)
			}
			if delay := d.next(LinkUnreachable, fmt.Errorf("lost")); delay > time.Minute {
				t.Fatalf("try %d waits %v", i, delay)
			}
			if delay := d.next(LinkAuthFailed, nil); delay < 15*time.Second || delay > 15*time.Minute {
				t.Fatalf("try %d after a refusal waits %v", i, delay)
			}
		}
	}
	if longest > 250*time.Millisecond || longest < 100*time.Millisecond {
		t.Errorf("the longest of the first three delays is %v", longest)
	}
}

func TestLiveFiltersFollowTheConfiguration(t *testing.T) {
	l := startLive(t, mosquitto.Options{})
	l.app = newApp(t, l.broker.URL(), "app")
	l.app.publish("old/a/status", 1, true, `{"status":-1}`)
	stop := l.connect(newSource(t, "old", "old/{device}/status"))
	if d := l.next(); code(t, d) != -1 || !d.Observation.Retained {
		t.Fatalf("retained: %+v", d)
	} else {
		d.Ack()
	}
	if want := []string{"old/+/status", "diagnostics/gw/request/+"}; !slices.Equal(l.remembered, want) {
		t.Fatalf("remembered %q, want %q", l.remembered, want)
	}
	stop()

	l.app.publish("new/a/status", 1, true, `{"status":-2}`)
	l.connect(newSource(t, "new", "new/{device}/status"))
	if d := l.next(); code(t, d) != -2 || !d.Observation.Retained {
		t.Fatalf("retained: %+v", d)
	} else {
		d.Ack()
	}
	l.app.publish("old/a/status", 1, false, `{"status":-1}`)
	l.nothing()

	l.app.publish("third/a/status", 1, true, `{"status":-3}`)
	l.in.SetSources([]*Source{newSource(t, "new", "new/{device}/status"), newSource(t, "third", "third/{device}/status")}, nil)
	if d := l.next(); code(t, d) != -3 || d.Observation.Source != "third" {
		t.Fatalf("of the new source: %+v", d)
	}
	l.nothing() // what is retained for a filter that stood already does not come again
	l.in.SetSources([]*Source{newSource(t, "third", "third/{device}/status")}, nil)
	eventually(t, "the filter that is gone is forgotten", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return slices.Equal(l.remembered, []string{"third/+/status", "diagnostics/gw/request/+"})
	})
	l.app.publish("new/a/status", 1, false, `{"status":-2}`)
	l.nothing()
}

func TestLiveInboxFull(t *testing.T) {
	l := startLive(t, mosquitto.Options{})
	l.got = make(chan diagnose.Delivery, 2)
	l.tune = func(l *live) { l.in.patience = 500 * time.Millisecond }
	l.app = newApp(t, l.broker.URL(), "app")
	l.connect(statusSource(t))
	for i := 1; i <= 4; i++ {
		l.app.publish("devices/a/status", 0, false, fmt.Sprintf(`{"status":-%d}`, i))
	}
	eventually(t, "two are dropped and counted", func() bool { return l.count(&l.dropped) == 2 })
	if state := l.in.State().State; state != LinkConnected || l.dropped[0] != "status" {
		t.Errorf("QoS 0 in excess: state %s, dropped %q", state, l.dropped)
	}
	l.next()
	l.next()

	for i := 5; i <= 8; i++ {
		l.app.publish("devices/a/status", 1, false, fmt.Sprintf(`{"status":-%d}`, i))
	}
	time.Sleep(100 * time.Millisecond)
	for i := int64(5); i <= 8; i++ { // the broker was kept waiting
		l.good(-i)
	}
	if state := l.in.State().State; state != LinkConnected || l.count(&l.dropped) != 2 {
		t.Errorf("QoS 1, for a moment: state %s, dropped %q", state, l.dropped)
	}

	for i := 11; i <= 14; i++ {
		l.app.publish("devices/a/status", 1, false, fmt.Sprintf(`{"status":-%d}`, i))
	}
	eventually(t, "a full inbox ends the connection", func() bool { return l.in.State().State == LinkOverrun })
	seen := map[int64]bool{}
	for len(seen) < 4 {
		d := l.next()
		seen[code(t, d)] = true
		d.Ack()
	}
	if l.count(&l.dropped) != 2 {
		t.Errorf("dropped %q", l.dropped)
	}
	eventually(t, "the connection stands again", func() bool { return l.in.State().State == LinkConnected })
}
