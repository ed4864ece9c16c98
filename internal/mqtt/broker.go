package mqtt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"syscall"
	"time"

	broker "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"

	"fieldmedic/internal/diagnose"
)

// BrokerOptions are those of the broker in the process.
type BrokerOptions struct {
	// Listeners are open already: a port that is taken is told by the one who
	// opens it. "localhost" has two, one for each family of addresses.
	Listeners []net.Listener
	// Username and Password let everybody in who has them; an empty user name
	// lets everybody in.
	Username, Password string
	// Agent is the client id of the agent's inbound connection: devices are
	// slowed down while it has much before it.
	Agent string
	// Root is what the agent publishes under, as "base/gateway/": nobody else
	// may write there, but for request/<verb>. Empty: everybody may everywhere.
	Root string
	// Skipped is told of packets from devices that are too large.
	Skipped func(topic string, bytes int, head []byte)
	Log     *slog.Logger
}

// Broker is an MQTT broker in the process, memory only: what is retained or
// queued ends with it. Gateways in production run a broker of their own.
type Broker struct {
	server *broker.Server
	gate   *gate
}

// StartBroker serves on the given listeners.
func StartBroker(opts BrokerOptions) (*Broker, error) {
	caps := broker.NewDefaultServerCapabilities()
	// limitConn reads past larger PUBLISH packets; this guard is for the rest.
	caps.MaximumPacketSize = MaxPacket + 1024
	// What is acknowledged to a device must reach the agent, and all snapshots
	// of 10,000 devices an app that subscribes: the broker drops beyond these.
	caps.MaximumInflight = math.MaxUint16
	caps.MaximumClientWritesPending = 2 * diagnose.MaxDevices
	server := broker.New(&broker.Options{
		Capabilities: caps,
		Logger:       slog.New(quiet{opts.Log.Handler()}),
	})
	access := &gate{username: opts.Username, agent: opts.Agent, root: opts.Root, clients: server.Clients, log: opts.Log}
	access.password.Store(&opts.Password)
	for _, hook := range []broker.Hook{access, newParents(server)} {
		if err := server.AddHook(hook, nil); err != nil {
			return nil, fmt.Errorf("set up the broker's %s: %w", hook.ID(), err)
		}
	}
	for i, l := range opts.Listeners {
		limited := limitListener{l, func(t tooLarge) { opts.Skipped(t.topic, t.bytes, t.head) }}
		if err := server.AddListener(listeners.NewNet(fmt.Sprintf("mqtt-%d", i), limited)); err != nil {
			return nil, fmt.Errorf("listen on %s: %w", l.Addr(), err)
		}
	}
	if err := server.Serve(); err != nil {
		return nil, fmt.Errorf("start the broker: %w", err)
	}
	return &Broker{server, access}, nil
}

// Close ends all connections and listeners.
func (b *Broker) Close() error { return b.server.Close() }

// SetPassword is the password from now on. Clients that are connected stay so.
func (b *Broker) SetPassword(password string) { b.gate.password.Store(&password) }

// quiet lets errors through only: a broker that logs each device's going is
// no use to anybody.
type quiet struct{ slog.Handler }

// Enabled tells whether a level is worth a line.
func (q quiet) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelError && q.Handler.Enabled(ctx, level)
}

// WithAttrs stays quiet.
func (q quiet) WithAttrs(attrs []slog.Attr) slog.Handler { return quiet{q.Handler.WithAttrs(attrs)} }

// WithGroup stays quiet.
func (q quiet) WithGroup(name string) slog.Handler { return quiet{q.Handler.WithGroup(name)} }

const (
	// firstWord is how long a device may take until its CONNECT packet.
	firstWord = 10 * time.Second
	// acceptPause is how long nothing is accepted after that failed, as it does
	// when the process has no descriptors left: the broker would give up.
	acceptPause = 100 * time.Millisecond
)

// limitListener wraps what it accepts.
type limitListener struct {
	net.Listener
	skipped func(tooLarge)
}

// Accept waits for the next device; it fails only when the listener is closed.
func (l limitListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err == nil {
			limited := newLimitConn(conn, l.skipped)
			if err = limited.SetReadDeadline(time.Now().Add(firstWord)); err == nil {
				return limited, nil
			}
			_ = conn.Close() // it is gone already
			continue
		}
		if errors.Is(err, net.ErrClosed) {
			return nil, err
		}
		time.Sleep(acceptPause)
	}
}

// Listen opens the listeners of an address HOST:PORT. "localhost" opens one
// for each of 127.0.0.1 and [::1], and is content with one where the machine
// has no other.
func Listen(address string) ([]net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	if host != "localhost" {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return nil, err
		}
		return []net.Listener{l}, nil
	}
	first, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		return nil, err
	}
	_, chosen, err := net.SplitHostPort(first.Addr().String())
	if err != nil {
		return nil, errors.Join(err, first.Close())
	}
	second, err := net.Listen("tcp6", net.JoinHostPort("::1", chosen))
	switch {
	case err == nil:
		return []net.Listener{first, second}, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, errors.Join(err, first.Close())
	}
	return []net.Listener{first}, nil
}
