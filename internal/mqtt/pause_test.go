package mqtt

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"fieldmedic/internal/diagnose"
	"fieldmedic/test/mosquitto"
)

// TestPitfall05Pause: MQTT has no negative acknowledgement. When nothing can be
// kept, the connection is closed without one, and no other is made until it
// can; then everything comes again, in order.
func TestPitfall05Pause(t *testing.T) {
	l := startLive(t, mosquitto.Options{})
	l.proxy = startProxy(t, l.broker.Address())
	l.app = newApp(t, l.broker.URL(), "app")
	log := &logged{}
	l.change = func(l *live) { l.inOpts.Log = slog.New(log) }
	l.connect(statusSource(t))
	for i := 1; i <= 3; i++ {
		l.app.publish(statusTopic, 1, false, fmt.Sprintf(`{"status":-%d}`, i))
	}
	old := []diagnose.Delivery{l.next(), l.next(), l.next()}
	before := l.proxy.connections()
	l.in.Pause(errors.New("commit: no space left on device"))
	if s := l.in.State(); s.State != LinkPaused || !strings.Contains(s.Detail, "no space left") {
		t.Fatalf("state %+v", s)
	}
	l.in.Pause(errors.New("commit: still no space left")) // again: the later reason counts
	if d := l.in.State().Detail; !strings.Contains(d, "still") {
		t.Errorf("it says %q", d)
	}
	old[0].Ack() // too late
	l.app.publish(statusTopic, 1, false, `{"status":-4}`)
	time.Sleep(time.Second) // far longer than the first back-offs
	if n := l.proxy.connections(); n != before {
		t.Errorf("%d connections while paused", n-before)
	}
	l.nothing()
	if s := l.in.State(); s.State != LinkPaused || l.out.State().State != LinkConnected {
		t.Errorf("state %+v, publishing %+v", s, l.out.State())
	}
	l.in.Resume()
	l.in.Resume()
	for i := int64(1); i <= 4; i++ {
		l.good(-i)
	}
	eventually(t, "it stands again", func() bool { return l.in.State().State == LinkConnected })
	old[1].Ack() // of a session that is gone
	l.cut()
	l.nothing()
	if n := log.count("state=paused"); n != 1 {
		t.Errorf("logged %d times", n)
	}
}

// TestPauseEverywhere: a pause holds wherever the link stands, also when it
// ends at once.
func TestPauseEverywhere(t *testing.T) {
	l := startLive(t, mosquitto.Options{})
	l.run(statusSource(t))
	for i := range 200 {
		l.in.Pause(errors.New("full"))
		if i%3 == 0 {
			time.Sleep(time.Duration(i%7) * time.Millisecond)
		}
		if s := l.in.State().State; s != LinkPaused {
			t.Fatalf("state %s while paused", s)
		}
		l.in.Resume()
		time.Sleep(time.Duration(i%11) * time.Millisecond / 2)
	}
	eventually(t, "it stands", func() bool { return l.in.State().State == LinkConnected })
	l.in.Pause(errors.New("full")) // and a stop ends it
}
