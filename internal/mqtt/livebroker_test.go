package mqtt

import (
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// TestBrokerBurst: what the broker in the process acknowledged to a device
// reaches a slow agent, whatever came at once.
func TestBrokerBurst(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b, err := StartBroker(BrokerOptions{
		Listeners: []net.Listener{listener}, Agent: "agent", Log: slog.New(slog.DiscardHandler),
		Skipped: func(string, int, []byte) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	address := "mqtt://" + listener.Addr().String()
	connect := func(id string, more func(*paho.ClientOptions)) paho.Client {
		o := paho.NewClientOptions().AddBroker(address).SetClientID(id).SetAutoReconnect(false).SetCleanSession(false)
		more(o)
		c := paho.NewClient(o)
		if token := c.Connect(); !token.WaitTimeout(5*time.Second) || token.Error() != nil {
			t.Fatal(token.Error())
		}
		return c
	}
	var got atomic.Int64
	agent := connect("agent", func(o *paho.ClientOptions) {
		o.SetDefaultPublishHandler(func(paho.Client, paho.Message) {
			if got.Add(1)%50 == 0 {
				time.Sleep(time.Millisecond) // slower than the device
			}
		})
	})
	defer agent.Disconnect(10)
	if token := agent.Subscribe("devices/+/status", 1, nil); !token.WaitTimeout(5*time.Second) || token.Error() != nil {
		t.Fatal(token.Error())
	}
	device := connect("device", func(*paho.ClientOptions) {})
	defer device.Disconnect(10)
	const n = 20_000
	tokens := make([]paho.Token, n)
	for i := range tokens {
		tokens[i] = device.Publish(fmt.Sprintf("devices/d%d/status", i), 1, false, "-7")
	}
	for _, token := range tokens {
		if !token.WaitTimeout(30*time.Second) || token.Error() != nil {
			t.Fatal("not acknowledged:", token.Error())
		}
	}
	eventually(t, "all that was acknowledged arrived", func() bool { return got.Load() >= n })
}
