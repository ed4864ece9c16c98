package mqtt

import (
	"bytes"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// logs keeps what is logged.
type logs struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logs) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), s)
}

func startEmbedded(t *testing.T, change func(*BrokerOptions)) (*Broker, string, *logs) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	written := &logs{}
	opts := BrokerOptions{
		Listeners: []net.Listener{listener}, Agent: "agent", Root: "diagnostics/gw/",
		Log: slog.New(slog.NewTextHandler(written, nil)), Skipped: func(string, int, []byte) {},
	}
	if change != nil {
		change(&opts)
	}
	b, err := StartBroker(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b, "mqtt://" + listener.Addr().String(), written
}

// TestBrokerKeepsTheAgentsTopics: nobody else publishes where the agent does.
func TestBrokerKeepsTheAgentsTopics(t *testing.T) {
	_, address, written := startEmbedded(t, nil)
	seen := newApp(t, address, "seen", "#")
	rogue := newApp(t, address, "rogue")
	agent := newApp(t, address, "agent-out")
	for _, topic := range []string{"diagnostics/gw/state", "diagnostics/gw/device/a", "diagnostics/gw/request/a/b", "diagnostics/gw/event"} {
		rogue.publish(topic, 1, true, "rogue") // is acknowledged, and the connection stays
		rogue.publish(topic, 0, false, "rogue")
	}
	rogue.publish("diagnostics/gw/request/recheck", 1, false, "rogue")
	rogue.publish("diagnostics/gw2/state", 1, true, "rogue")
	agent.publish("diagnostics/gw/state", 1, true, "agent")
	eventually(t, "what is allowed comes through", func() bool { return len(seen.topics()) >= 3 })
	time.Sleep(50 * time.Millisecond)
	want := []string{"diagnostics/gw/request/recheck", "diagnostics/gw/state", "diagnostics/gw2/state"}
	// In the order of their names: who publishes what first is open.
	if got := slices.Sorted(slices.Values(seen.topics())); !slices.Equal(got, want) || seen.last("diagnostics/gw/state") != "agent" {
		t.Errorf("seen %q, want %q", got, want)
	}
	if n := written.count("only the agent may"); n != 1 {
		t.Errorf("logged %d times, want once", n)
	}
	o := paho.NewClientOptions().AddBroker(address).SetClientID("dies").SetAutoReconnect(false).SetWill("diagnostics/gw/state", "its will", 1, true)
	dies := paho.NewClient(o)
	await(t, "connect", dies.Connect())
	thief := newApp(t, address, "dies") // throws it out, so its will is due
	time.Sleep(100 * time.Millisecond)
	if seen.last("diagnostics/gw/state") != "agent" {
		t.Error("a will was published in the agent's place")
	}
	if written.count("thrown out") != 1 {
		t.Error("a client that is thrown out is not logged")
	}
	thief.client.Disconnect(10)
}

// TestBrokerParentLevel: x/# matches x (MQTT 3.1.1, 4.7.1.2).
func TestBrokerParentLevel(t *testing.T) {
	_, address, _ := startEmbedded(t, nil)
	one := newApp(t, address, "one")
	one.publish("x", 1, true, "retained")
	one.publish("y/z", 1, true, "retained")
	for _, filter := range []string{"x/#", "+/#", "y/z/#", "y/+/#"} {
		topic := strings.Replace(strings.TrimSuffix(filter, "/#"), "+", "x", 1)
		if strings.HasPrefix(filter, "y") {
			topic = "y/z"
		}
		a := newApp(t, address, "sub "+filter, filter)
		eventually(t, filter+" gets what is retained on "+topic, func() bool { return len(a.payloads(topic)) == 1 })
		one.publish(topic, 1, false, "live")
		eventually(t, filter+" gets what is published on "+topic, func() bool { return a.last(topic) == "live" })
		time.Sleep(20 * time.Millisecond)
		if got := a.payloads(topic); len(got) != 2 {
			t.Errorf("%s: got %q on %s, want it once", filter, got, topic)
		}
		token := a.client.Unsubscribe(filter)
		await(t, "unsubscribe", token)
		one.publish(topic, 1, false, "later")
		time.Sleep(20 * time.Millisecond)
		if a.last(topic) == "later" {
			t.Errorf("%s still gets %s after it was unsubscribed", filter, topic)
		}
	}
	both := newApp(t, address, "both", "x", "x/#")
	await(t, "unsubscribe", both.client.Unsubscribe("x/#"))
	one.publish("x", 1, false, "mine")
	eventually(t, "a filter that was asked for stays", func() bool { return both.last("x") == "mine" })
}

func TestBrokerPassword(t *testing.T) {
	b, address, _ := startEmbedded(t, func(o *BrokerOptions) { o.Username, o.Password = "device", "old" })
	in := func(password string) bool {
		o := paho.NewClientOptions().AddBroker(address).SetClientID("c").SetAutoReconnect(false).SetUsername("device").SetPassword(password)
		c := paho.NewClient(o)
		token := c.Connect()
		defer c.Disconnect(10)
		return token.WaitTimeout(5*time.Second) && token.Error() == nil
	}
	if !in("old") || in("new") {
		t.Fatal("the first password")
	}
	b.SetPassword("new")
	if in("old") || !in("new") {
		t.Error("the second password")
	}
}
