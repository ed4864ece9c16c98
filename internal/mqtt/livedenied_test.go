package mqtt

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	broker "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"

	"fieldmedic/internal/diagnose"
	"fieldmedic/test/mosquitto"
)

// TestLiveAccessListDropsWhatIsPublished: Mosquitto acknowledges what its
// access list forbids, and drops it.
func TestLiveAccessListDropsWhatIsPublished(t *testing.T) {
	acl := filepath.Join(t.TempDir(), "acl")
	if err := os.WriteFile(acl, []byte("topic read #\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l := startLive(t, mosquitto.Options{Lines: []string{"acl_file " + acl}})
	l.shown = []diagnose.Snapshot{snapshotAt("a", time.Now())}
	l.tune = func(l *live) { l.out.readBackTimeout = 300 * time.Millisecond }
	l.run(statusSource(t))
	eventually(t, "the denial is named", func() bool {
		s := l.out.State()
		return s.State == LinkDenied && strings.Contains(s.Detail, "access list") && l.in.State().State == LinkConnected
	})
}

// deaf is a broker's hook that lets nobody subscribe.
type deaf struct{ gate }

func (d *deaf) OnACLCheck(_ *broker.Client, _ string, write bool) bool { return write }

func TestLiveSubscriptionRefused(t *testing.T) {
	server := broker.New(&broker.Options{Logger: slog.New(slog.DiscardHandler)})
	if err := server.AddHook(&deaf{gate{clients: server.Clients, log: slog.New(slog.DiscardHandler)}}, nil); err != nil {
		t.Fatal(err)
	}
	open, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(server.AddListener(listeners.NewNet("deaf", open[0])), server.Serve()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	l := newLive(t, nil)
	l.change = func(l *live) {
		l.inOpts.Server = Server{URL: brokerURL(t, fmt.Sprint("mqtt://", open[0].Addr()))}
		l.opts.Server = l.inOpts.Server
	}
	l.run(statusSource(t))
	eventually(t, "the refusal is named", func() bool {
		return l.in.State().State == LinkDenied && l.out.State().State == LinkDenied
	})
}
