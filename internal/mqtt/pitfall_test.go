package mqtt

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"fieldmedic/internal/diagnose"
	"fieldmedic/test/mosquitto"
)

// The tests of this file, and all others named TestPitfall, stand in
// docs/pitfalls.md with what each guards.

// TestPitfallOptions are those that the client library is made with.
func TestPitfallOptions(t *testing.T) {
	p := startPuppet(t, nil)
	for name, prof := range map[string]profile{
		"inbound":    NewInbound(InboundOptions{Server: p.profile().server}).link.profile,
		"publishing": NewPublisher(PublisherOptions{Server: p.profile().server}).link.profile,
	} {
		prof.patience = defaultPatience()
		o, err := newSession().options(context.Background(), prof)
		if err != nil {
			t.Fatal(err)
		}
		_, none := o.Store.(noStore)
		for what, right := range map[string]bool{
			"1: the library connects again by itself": !o.AutoReconnect,
			"3: handlers run in no order":             o.Order,
			"4: the library acknowledges":             o.AutoAckDisabled,
			"6: no handler for what comes first":      o.DefaultPublishHandler != nil,
			"8: session kept":                         o.CleanSession == (name == "publishing"),
			"9, 10: a store of the library's":         none,
			"11: it resumes":                          o.MaxResumePubInFlight == 0 && !o.ResumeSubs,
			"14: writes have no limit":                o.WriteTimeout > 0,
			"21: another version is tried":            o.ProtocolVersion == 4,
			"22: the library tries again by itself":   !o.ConnectRetry,
			"24: the will":                            (o.WillEnabled && o.WillRetained && o.WillQos == 1) == (name == "publishing"),
		} {
			if !right {
				t.Errorf("%s connection, row %s", name, what)
			}
		}
	}
}

// TestPitfall01NoAcknowledgement: a publish token that a later connection
// completes, without the broker having acknowledged anything.
func TestPitfall01NoAcknowledgement(t *testing.T) {
	t.Parallel()
	p := startPuppet(t, func(_ *puppetConn, f frame) bool { return f.first>>4 == packetPublish })
	for _, clean := range []bool{false, true} {
		prof := p.profile()
		prof.clean = clean
		before, sent := p.connections(), len(p.kinds(packetPublish))
		s := p.session(prof)
		w := newWindow(s)
		for range 3 {
			if err := w.send(context.Background(), message{topic: "t"}, func() { t.Error("it counts as published") }); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "all are sent", func() bool { return len(p.kinds(packetPublish)) == sent+3 })
		p.cut()
		time.Sleep(2 * time.Second) // the library would be back after one
		if w.err() == nil {
			t.Error("the window goes on after the connection was lost")
		}
		if n := p.connections() - before; n != 1 {
			t.Errorf("%d connections of one client", n)
		}
		w.close()
	}
}

// TestPitfall02TokensThatNeverEnd: no answer comes, and then the connection is
// lost, or it is not.
func TestPitfall02TokensThatNeverEnd(t *testing.T) {
	p := startPuppet(t, func(_ *puppetConn, f frame) bool { return f.first>>4 == 8 || f.first>>4 == packetPublish })
	for what, then := range map[string]func(){"lost": p.cut, "silent": func() {}} {
		for name, ask := range map[string]func(*session) error{
			"subscribe": func(s *session) error { return s.subscribe(context.Background(), []string{"t"}) },
			"publish":   func(s *session) error { return s.publish(context.Background(), message{topic: "t"}) },
			"window": func(s *session) error {
				w := newWindow(s)
				defer w.close()
				return errors.Join(w.send(context.Background(), message{topic: "t"}, nil), w.drain(context.Background()))
			},
		} {
			prof := p.profile()
			if what == "silent" {
				prof.patience = quickPatience()
			}
			s := p.session(prof)
			answer := make(chan error, 1)
			go func() { answer <- ask(s) }()
			time.Sleep(50 * time.Millisecond)
			then()
			select {
			case err := <-answer:
				if err == nil || (classify(err) == LinkStalled) != (what == "silent") {
					t.Errorf("%s, %s: %v", name, what, err)
				}
			case <-time.After(5 * time.Second):
				t.Errorf("%s, %s: it still waits", name, what)
			}
			s.cut(errEnded)
		}
	}
}

// TestPitfall06QueuedMessages come before anything is subscribed to, and more
// of them than the broker lets be unacknowledged; row 8 is that the broker kept
// them.
func TestPitfall06QueuedMessages(t *testing.T) {
	l := startLive(t, mosquitto.Options{})
	stop := l.run(statusSource(t))
	eventually(t, "it has subscribed", func() bool { return l.in.State().State == LinkConnected })
	stop()
	l.app = newApp(t, l.broker.URL(), "app")
	for i := 1; i <= 60; i++ {
		l.app.publish(statusTopic, 1, false, fmt.Sprintf(`{"status":-%d}`, i))
	}
	l.run(statusSource(t))
	for i := int64(1); i <= 60; i++ {
		l.good(-i)
	}
	l.app.publish(statusTopic, 1, false, `{"status":-61}`)
	l.good(-61)
}

// TestPitfall07SubscribesAlways: on every connection: a broker may keep the session and
// not what it was subscribed to.
func TestPitfall07SubscribesAlways(t *testing.T) {
	l := startLive(t, mosquitto.Options{})
	l.connect(statusSource(t))()
	same := paho.NewClient(paho.NewClientOptions().AddBroker(l.broker.URL()).SetClientID("agent").SetCleanSession(false))
	await(t, "connect as the agent", same.Connect())
	await(t, "unsubscribe", same.Unsubscribe("devices/+/status"))
	same.Disconnect(100)
	l.connect(statusSource(t))
	l.app = newApp(t, l.broker.URL(), "app")
	l.app.publish(statusTopic, 1, false, `{"status":-7}`)
	l.good(-7)
}

// TestPitfall11Window: never more than a window is under way, whatever the broker
// does, so packet identifiers do not run out (row 12); then everything goes on,
// in order.
func TestPitfall11Window(t *testing.T) {
	held := make(chan struct{})
	p := startPuppet(t, func(_ *puppetConn, f frame) bool {
		if f.first>>4 == packetPublish {
			<-held
		}
		return false
	})
	// The puppet reads one and waits, so what is under way is counted at the
	// window's door: send blocks when it is full.
	s := p.session(p.profile())
	w := newWindow(s)
	t.Cleanup(w.close)
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	sent, done := 0, make(chan int, 70_000)
	for ; sent < 70_000; sent++ {
		number := sent
		if err := w.send(ctx, message{topic: "t", payload: []byte(strconv.Itoa(number))}, func() { done <- number }); err != nil {
			break
		}
	}
	if sent < windowSize || sent > 300 {
		t.Errorf("%d messages under way, want about 256", sent)
	}
	close(held)
	if err := w.drain(context.Background()); err != nil {
		t.Fatal(err)
	}
	for i := range sent {
		if got := <-done; got != i {
			t.Fatalf("message %d is told of as number %d", got, i)
		}
	}
	var order []string
	for _, f := range p.kinds(packetPublish) {
		order = append(order, f.payload())
	}
	for i, payload := range order {
		if payload != strconv.Itoa(i) {
			t.Fatalf("message %s came as number %d", payload, i)
		}
	}
}

// TestPitfall13EverythingAtLeastOnce: nothing is published with QoS 0.
func TestPitfall13EverythingAtLeastOnce(t *testing.T) {
	p := startPuppet(t, nil)
	l := p.at()
	l.shown = []diagnose.Snapshot{snapshotAt("a", time.Now())}
	l.tune = func(l *live) { l.out.markEvery, l.out.settleTime = 10*time.Millisecond, time.Millisecond }
	l.run(statusSource(t))
	l.publish(3)
	l.out.Respond(diagnose.Recheck, diagnose.Response{Transaction: "t"})
	if err := l.out.SetInfo(map[string]int{"version": 1}); err != nil {
		t.Fatal(err)
	}
	topics := func() (list []string) {
		for _, f := range p.kinds(packetPublish) {
			list = append(list, f.topic())
		}
		return list
	}
	for _, topic := range []string{eventTopic, stateTopic, infoTopic, markTopic, deviceTopics + "a", "diagnostics/gw/response/recheck", "diagnostics/gw/self/loopback"} {
		eventually(t, topic+" is published", func() bool { return slices.Contains(topics(), topic) })
	}
	for _, f := range p.kinds(packetPublish) {
		if f.qos() != 1 {
			t.Errorf("%s is published with QoS %d", f.topic(), f.qos())
		}
	}
}

// TestPitfall20LongTexts: the library would send the start of a text that is too
// long for MQTT, and nobody would know.
func TestPitfall20LongTexts(t *testing.T) {
	p := startPuppet(t, nil)
	long := strings.Repeat("x", maxString+1)
	server := p.profile().server
	for what, change := range map[string]func(*profile){
		"client id": func(prof *profile) { prof.clientID = long },
		"user name": func(prof *profile) { prof.server.Username = long },
		"password":  func(prof *profile) { prof.server.Password = func() (string, error) { return long, nil } },
		"will":      func(prof *profile) { prof.will = &will{topic: "t", payload: []byte(long)} },
	} {
		prof := p.profile()
		prof.server = server
		change(&prof)
		if _, err := dial(context.Background(), prof); !errors.Is(err, errTooLong) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if n := len(p.kinds(0)); n > 0 {
		t.Errorf("%d packets were sent", n)
	}
	s := p.session(p.profile())
	w := newWindow(s)
	t.Cleanup(w.close)
	for what, err := range map[string]error{
		"subscribe": s.subscribe(context.Background(), []string{long}),
		"publish":   s.publish(context.Background(), message{topic: long}),
		"window":    w.send(context.Background(), message{topic: long}, nil),
	} {
		if !errors.Is(err, errTooLong) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// refusing is a broker that lets nobody in.
func refusing(t *testing.T) *puppet {
	return startPuppet(t, func(c *puppetConn, f frame) bool {
		if f.first>>4 == 1 {
			c.send(packet(0x20, 0, 5)) // not authorised
			_ = c.Close()
		}
		return true
	})
}

// TestPitfall21OneTry: a refusal is not answered with another protocol version.
func TestPitfall21OneTry(t *testing.T) {
	p := refusing(t)
	if _, err := dial(context.Background(), p.profile()); classify(err) != LinkAuthFailed {
		t.Errorf("%v is %s", err, classify(err))
	}
	connects := p.kinds(1)
	if len(connects) != 1 || connects[0].body[6] != 4 {
		t.Errorf("%d tries: %v", len(connects), connects)
	}
}

// TestPitfall22Refusal is named, and not tried again for long.
func TestPitfall22Refusal(t *testing.T) {
	p := refusing(t)
	l, log := p.link()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		l.run(ctx, func(context.Context, *session) error { return nil })
	}()
	within(t, 5*time.Second, "it is named", func() bool { return l.state().State == LinkAuthFailed })
	time.Sleep(1500 * time.Millisecond)
	if n := p.connections(); n != 1 {
		t.Errorf("%d tries", n)
	}
	if n := log.count("auth-failed"); n != 1 {
		t.Errorf("logged %d times", n)
	}
	cancel()
	<-ended
}

// TestPitfall25FreshClient: no client of the library is used twice.
func TestPitfall25FreshClient(t *testing.T) {
	p := startPuppet(t, nil)
	l, _ := p.link()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	clients := map[paho.Client]bool{}
	l.run(ctx, func(_ context.Context, s *session) error {
		if clients[s.client] {
			t.Error("a client is used again")
		}
		if clients[s.client] = true; len(clients) == 3 {
			cancel()
		}
		return errDenied
	})
	if len(clients) != 3 {
		t.Errorf("%d clients", len(clients))
	}
}

// brokenOff is the token of a write that timed out.
type brokenOff struct{ paho.Token }

func (brokenOff) Done() <-chan struct{} {
	done := make(chan struct{})
	close(done)
	return done
}

func (brokenOff) Error() error { return errors.New("publish was broken by timeout") }

// TestPitfall15Token: the error of a token means that nothing is known, and ends
// the session.
func TestPitfall15Token(t *testing.T) {
	w := newWindow(newSession())
	w.flights <- flight{token: brokenOff{}, done: func() { t.Error("it counts as published") }}
	select {
	case <-w.failed:
	case <-time.After(5 * time.Second):
		t.Fatal("the window goes on")
	}
	w.close()
	if err := w.send(context.Background(), message{topic: "t"}, nil); err == nil || !strings.Contains(err.Error(), "broken by timeout") {
		t.Errorf("sent after it: %v", err)
	}
}
