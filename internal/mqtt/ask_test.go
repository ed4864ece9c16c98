package mqtt

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"fieldmedic/internal/diagnose"
	"fieldmedic/test/mosquitto"
)

// TestLiveLargeRequests: one that is too large is answered under its
// transaction, as far as that stands where it can be read at small cost.
func TestLiveLargeRequests(t *testing.T) {
	l := startLive(t, mosquitto.Options{})
	l.proxy = startProxy(t, l.broker.Address())
	const base = "diagnostics/gw/"
	l.app = newApp(t, l.broker.URL(), "app", base+"response/+")
	l.connect(statusSource(t))
	long := strings.Repeat("x", 10<<10)
	huge := strings.Repeat("x", MaxPacket)
	for _, c := range []struct{ what, payload, transaction string }{
		{"first", `{"transaction":"t1","note":"` + long + `"}`, "t1"},
		{"last", `{"note":"` + long + `","transaction":"t2"}`, "t2"},
		{"no packet of ours, first", `{"transaction":"t3","note":"` + huge + `"}`, "t3"},
		{"no packet of ours, last", `{"note":"` + huge + `","transaction":"t4"}`, ""},
		{"no packet of ours, cut off", `{"transaction":"` + huge + `"}`, ""},
		{"a number", `{"transaction":5,"note":"` + long + `"}`, ""},
		{"too long itself", `{"transaction":"` + long + `"}`, ""},
		{"no object", long, ""},
	} {
		before := len(l.app.payloads(base + "response/acknowledge"))
		l.app.publish(base+"request/acknowledge", 1, false, c.payload)
		eventually(t, c.what+" is answered", func() bool { return len(l.app.payloads(base+"response/acknowledge")) > before })
		var r diagnose.Response
		if err := json.Unmarshal([]byte(l.app.last(base+"response/acknowledge")), &r); err != nil {
			t.Fatal(err)
		}
		if r.OK || r.Transaction != c.transaction || !strings.Contains(r.Error, "bytes (8") {
			t.Errorf("%s: %+v", c.what, r)
		}
	}
	l.cut() // all of it was acknowledged
	before := len(l.app.payloads(base + "response/acknowledge"))
	for range 4 { // those that were no packets of ours are counted as input that was refused
		select {
		case d := <-l.got:
			if d.Refused == nil {
				t.Errorf("delivered %+v", d)
			}
		default:
		}
	}
	l.nothing()
	if n := len(l.app.payloads(base + "response/acknowledge")); n != before {
		t.Errorf("%d answers more after a reconnect", n-before)
	}
}

// TestLiveRetainedRequests: what MQTT 3.1.1 shows of the retain flag. A request
// that arrives while we are subscribed is carried out once, and its retained
// copy never is.
func TestLiveRetainedRequests(t *testing.T) {
	l := startLive(t, mosquitto.Options{})
	l.proxy = startProxy(t, l.broker.Address())
	l.app = newApp(t, l.broker.URL(), "app", "diagnostics/gw/response/+")
	l.connect(statusSource(t))
	l.app.publish("diagnostics/gw/request/acknowledge", 1, true, `{"transaction":"kept","device":"a"}`)
	d := l.next()
	if d.Request == nil || d.Request.Transaction != "kept" || d.Droppable {
		t.Fatalf("delivered %+v", d)
	}
	d.Ack()
	for range 2 {
		l.cut() // subscribes anew, and gets the retained copy
		l.nothing()
	}
	large := fmt.Sprintf(`{"transaction":"kept","note":%q}`, strings.Repeat("x", MaxPacket))
	l.app.publish("diagnostics/gw/request/acknowledge", 1, true, large)
	l.next()
	eventually(t, "it is answered", func() bool { return len(l.app.topics()) == 1 })
	l.app.forget()
	l.cut()
	l.next() // counted as refused input again
	if n := len(l.app.topics()); n > 0 {
		t.Errorf("%d answers to a retained request", n)
	}
}

// TestInboundNow: messages are received at the time that the clock tells.
func TestInboundNow(t *testing.T) {
	l := startLive(t, mosquitto.Options{})
	at := time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)
	l.change = func(l *live) { l.inOpts.Now = func() time.Time { return at } }
	l.app = newApp(t, l.broker.URL(), "app")
	l.connect(statusSource(t))
	for q := range byte(2) {
		l.app.publish(statusTopic, q, false, `{"status":-7}`)
		d := l.next()
		if d.Observation == nil || !d.Observation.At.Equal(at) || d.Droppable != (q == 0) || (d.Ack == nil) != (q == 0) {
			t.Errorf("QoS %d: %+v", q, d)
		}
		if d.Ack != nil {
			d.Ack()
		}
	}
	l.in.TooLarge(statusTopic, MaxPacket+1, nil)
	if d := l.next(); d.Refused == nil || !d.Refused.At.Equal(at) {
		t.Errorf("%+v", d.Refused)
	}
}
