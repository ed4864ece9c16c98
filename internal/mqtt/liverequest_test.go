package mqtt

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"fieldmedic/internal/diagnose"
	"fieldmedic/test/mosquitto"
)

func TestLiveRequests(t *testing.T) {
	l := startLive(t, mosquitto.Options{})
	l.proxy = startProxy(t, l.broker.Address())
	const base = "diagnostics/gw/"
	l.app = newApp(t, l.broker.URL(), "app", base+"response/+")
	l.app.publish(base+"request/acknowledge", 1, true, `{"transaction":"retained"}`)
	l.connect(statusSource(t))
	l.nothing() // a retained request is nobody's

	l.app.publish(base+"request/acknowledge", 1, false, `{"transaction":"t1","device":"ac-7"}`)
	d := l.next()
	if d.Request == nil || d.Request.Verb != diagnose.Acknowledge || *d.Request.Device != "ac-7" || d.Ack == nil {
		t.Fatalf("request: %+v", d)
	}
	d.Respond(diagnose.Response{Transaction: "t1", OK: true})
	d.Ack()
	eventually(t, "the first request is answered", func() bool { return len(l.app.payloads(base+"response/acknowledge")) == 1 })

	for _, c := range []struct{ verb, payload, transaction, says string }{
		{"acknowledge", `{"device":null}`, "", "transaction is missing"},
		{"acknowledge", `{"transaction":`, "", "is not JSON"},
		{"acknowledge", `{"transaction":"t2","nobody":1}`, "t2", "nobody"},
		{"recheck", `{"transaction":"t3"}`, "t3", "mqtt.requests"},
		{"dance", `{"transaction":"t4"}`, "t4", "unknown verb"},
	} {
		before := len(l.app.payloads(base + "response/" + c.verb))
		l.app.publish(base+"request/"+c.verb, 1, false, c.payload)
		eventually(t, c.payload+" is answered", func() bool { return len(l.app.payloads(base+"response/"+c.verb)) > before })
		var r diagnose.Response
		if err := json.Unmarshal([]byte(l.app.last(base+"response/"+c.verb)), &r); err != nil {
			t.Fatal(err)
		}
		if r.OK || r.Transaction != c.transaction || !strings.Contains(r.Error, c.says) {
			t.Errorf("%s %s: %+v", c.verb, c.payload, r)
		}
	}
	if first := l.app.payloads(base + "response/acknowledge")[0]; first != `{"transaction":"t1","ok":true}` {
		t.Errorf("the request that was carried out: %s", first)
	}

	l.app.forget()
	l.app.publish(base+"request/"+strings.Repeat("v", maxVerb+1), 1, false, `{"transaction":"t5"}`)
	l.app.publish(base+"request/recheck", 1, false, `{"transaction":"t6"}`)
	eventually(t, "the next request is answered", func() bool { return len(l.app.topics()) > 0 })
	if got := l.app.topics(); !slices.Equal(got, []string{base + "response/recheck"}) {
		t.Errorf("responses on %q", got)
	}

	l.cut()
	l.nothing() // everything was acknowledged, the refused ones too
	l.in.SetSources([]*Source{statusSource(t)}, []diagnose.Verb{diagnose.Recheck})
	l.app.publish(base+"request/recheck", 1, false, `{"transaction":"t7"}`)
	if d := l.next(); d.Request == nil || d.Request.Transaction != "t7" {
		t.Errorf("a verb that is allowed now: %+v", d)
	}
}

func TestLiveResponsesOutliveAConnection(t *testing.T) {
	l := startLive(t, mosquitto.Options{})
	l.proxy = startProxy(t, l.broker.Address())
	l.app = newApp(t, l.broker.URL(), "app", "diagnostics/gw/response/+")
	l.connect(statusSource(t))
	l.proxy.mute(true) // nothing is acknowledged
	l.out.Respond(diagnose.Recheck, diagnose.Response{Transaction: "a", OK: true})
	l.out.Respond(diagnose.Recheck, diagnose.Response{Transaction: "b", OK: true})
	eventually(t, "both are sent", func() bool { return len(l.app.topics()) == 2 })
	l.proxy.mute(false)
	l.proxy.cut()
	eventually(t, "both are sent again", func() bool { return len(l.app.topics()) == 4 })
	eventually(t, "and forgotten", func() bool {
		l.out.waiting.mu.Lock()
		defer l.out.waiting.mu.Unlock()
		return len(l.out.waiting.responses) == 0 && l.out.waiting.sent == 0
	})
	for range maxResponses + 10 {
		l.out.waiting.respond(message{})
	}
	if n := len(l.out.waiting.responses); n > maxResponses {
		t.Errorf("%d responses wait", n)
	}
}
