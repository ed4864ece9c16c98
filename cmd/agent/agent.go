package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"fieldmedic/internal/diagnose"
	"fieldmedic/internal/mqtt"
	"fieldmedic/internal/store"
	"fieldmedic/internal/web"
)

// agent is the whole program on one page: what is made from a setup, and how
// its parts are joined. A message goes inbound -> loop -> store -> publisher.
type agent struct {
	log      *slog.Logger
	started  time.Time
	now      atomic.Pointer[setup]
	store    *store.Store
	metrics  *metrics
	refusals *refusals
	loop     *diagnose.Loop
	engine   *diagnose.Engine
	broker   *mqtt.Broker
	inbound  *mqtt.Inbound
	outbound *mqtt.Publisher
	web      *web.Server
	// listeners of the broker, of page and API, and the command line's socket.
	brokerListeners []net.Listener
	listeners       []net.Listener
	socket          net.Listener
	problem         atomic.Pointer[string]
	// certificate of the page; a reload reads it anew.
	certificate atomic.Pointer[tls.Certificate]

	clock *gatewayClock
	// own are the faults of the agent itself; failed is set while nothing can
	// be stored.
	own    *ownFaults
	failed atomic.Pointer[storageFailure]
	// dropped counts what found the inbox full and is not sent again.
	dropped atomic.Int64
	// adopted: the topics that the broker retains were compared once.
	adopted atomic.Bool
}

// setup is the configuration and rules that are in force.
func (a *agent) setup() *setup { return a.now.Load() }

func (a *agent) words() diagnose.Words { return a.setup().set }

// newAgent opens everything that can fail, and starts nothing. What it opened
// is closed again when it fails.
func newAgent(ctx context.Context, s setup, log *slog.Logger) (*agent, error) {
	a := &agent{
		log: log, started: time.Now(), metrics: newMetrics(),
		refusals: &refusals{log: log, samples: make(map[diagnose.Refusal][]diagnose.RefusedInput)},
	}
	a.now.Store(&s)
	a.note("")
	for _, step := range []func(context.Context, *Config) error{a.openStore, a.openListeners, a.openMQTT, a.openBroker, a.openWeb} {
		if err := step(ctx, s.cfg); err != nil {
			return nil, errors.Join(err, a.close())
		}
	}
	return a, nil
}

func (a *agent) openStore(ctx context.Context, cfg *Config) error {
	var err error
	a.store, err = store.Open(ctx, store.Options{
		Dir: cfg.State.Dir, Retention: cfg.Store.Retention, MaxSize: int64(cfg.Store.MaxSize), Log: a.log,
		Now: a.time, ClockSuspect: func() bool { return a.clock != nil && a.clock.suspect() },
		Lost: a.lost, Waiting: a.waitForStore,
	})
	if err != nil {
		return fmt.Errorf("open the store: %w", err)
	}
	a.clock = newGatewayClock(a.store.Newest())
	a.engine = diagnose.NewEngine(diagnose.Options{
		Gateway: cfg.Gateway, Rules: a.setup().set, NewID: func(time.Time) string { return newID() },
	})
	a.loop = diagnose.NewLoop(diagnose.LoopOptions{
		Engine: a.engine, Journal: a.store, Words: a.words(),
		Publish: a.publish, Refused: a.refuse, Turned: a.turned, Storage: a.storage, Dropped: a.drop,
		EventID: a.store.EventID, Epoch: a.store.Epoch, Seq: a.store.Seq(),
		Now: a.clock.now, Clock: a.clock.reading,
		Unencodable: func(c diagnose.Change, err error) {
			a.log.Error("an event cannot be written and is left out", "device", c.Diagnosis.Device, "condition", c.Diagnosis.Condition, "err", err)
		},
	})
	a.own = newOwnFaults(a.clock.now, a.loop.Deliver, func(names []string) { a.outbound.SetFaults(names) })
	return nil
}

// time is the gateway's clock, also before the store has told from when on it
// may be believed.
func (a *agent) time() time.Time {
	if a.clock == nil {
		return time.Now()
	}
	return a.clock.now()
}

// newID makes the id of an occurrence: a UUIDv7 (RFC 9562, 5.7).
func newID() string {
	id, err := uuid.NewV7()
	if err != nil {
		return uuid.NewString() // no randomness for v7: v4 reads it elsewhere
	}
	return id.String()
}

// openListeners takes the ports, so that a port that is taken is told before
// anything is started.
func (a *agent) openListeners(_ context.Context, cfg *Config) error {
	var err error
	if cfg.MQTT.Broker == mqtt.Embedded {
		if a.brokerListeners, err = mqtt.Listen(cfg.MQTT.Listen); err != nil {
			return taken("mqtt.listen", cfg.MQTT.Listen, err)
		}
	}
	if cfg.Web.Listen != "" {
		if a.listeners, err = mqtt.Listen(cfg.Web.Listen); err != nil {
			return taken("web.listen", cfg.Web.Listen, err)
		}
	}
	a.socket, err = web.ListenSocket(socketPath(cfg), cfg.Web.SocketGroup)
	return err
}

func (a *agent) openBroker(_ context.Context, cfg *Config) error {
	if a.brokerListeners == nil {
		return nil
	}
	secret, err := readSecret(cfg.MQTT.PasswordFile)
	if err != nil {
		return err
	}
	a.broker, err = mqtt.StartBroker(mqtt.BrokerOptions{
		Listeners: a.brokerListeners, Username: cfg.MQTT.Username, Password: secret, Agent: cfg.MQTT.ClientID,
		Root: rootTopic(cfg), Skipped: a.inbound.TooLarge, Log: a.log,
	})
	return err
}

func (a *agent) openMQTT(ctx context.Context, cfg *Config) error {
	server, err := a.server(cfg)
	if err != nil {
		return err
	}
	sources, err := cfg.sources()
	if err != nil {
		return err
	}
	remembered, err := a.store.Subscriptions(ctx)
	if err != nil {
		return err
	}
	former, err := a.formerRoots(ctx, rootTopic(cfg))
	if err != nil {
		return err
	}
	shown := shelf{a.store, a}
	a.outbound = mqtt.NewPublisher(mqtt.PublisherOptions{
		Server: server, ClientID: cfg.MQTT.ClientID, Base: cfg.MQTT.BaseTopic, Gateway: cfg.Gateway,
		Epoch: a.store.Epoch, Outbox: a.store, Snapshots: shown.EachSnapshot, Snapshot: shown.Snapshot,
		Words: a.words, Published: a.published, SetAside: a.store.SetAside, Ahead: a.setBack, Adopt: a.adopt,
		Former: former, Cleaned: func(gone string) { a.forgetRoot(ctx, gone) }, Log: a.log,
	})
	a.inbound = mqtt.NewInbound(mqtt.InboundOptions{
		Server: server, ClientID: cfg.MQTT.ClientID, Base: cfg.MQTT.BaseTopic, Gateway: cfg.Gateway,
		Requests: verbs(cfg.MQTT.Requests), Sources: sources,
		Deliver: a.deliver, Respond: a.outbound.Respond,
		Dropped:    a.missed,
		Received:   func(source string) { a.metrics.received.WithLabelValues(source).Inc() },
		Remembered: remembered,
		Remember:   func(filters []string) error { return a.store.SetSubscriptions(context.WithoutCancel(ctx), filters) },
		Now:        a.clock.now,
		Log:        a.log,
	})
	a.metrics.watch(a.store, a.inbound.State, a.outbound.State)
	return nil
}

// close lets go of what newAgent opened.
func (a *agent) close() error {
	var errs []error
	for _, l := range slices.Concat(a.brokerListeners, a.listeners, []net.Listener{a.socket}) {
		if l != nil {
			if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
				errs = append(errs, err)
			}
		}
	}
	if a.broker != nil {
		errs = append(errs, a.broker.Close())
	}
	if a.store != nil {
		errs = append(errs, a.store.Close())
	}
	return errors.Join(errs...)
}

// run serves until ctx ends, a part fails, or a reload asks for a new start;
// then it answers what to start with. The order of the end is that of the way
// a message takes: nothing more comes in, what came in is decided and stored,
// what is stored is published, and then offline is said.
func (a *agent) run(ctx context.Context, again *reloader) (*setup, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	deciding, stopDeciding := context.WithCancel(context.WithoutCancel(ctx))
	defer stopDeciding()
	later, stopLater := context.WithCancel(context.WithoutCancel(ctx))
	defer stopLater()
	var head, middle, tail errgroup.Group
	part := func(g *errgroup.Group, ctx context.Context, name string, run func(context.Context) error) {
		g.Go(func() error {
			defer stop() // the end of one part is the end of all
			if err := run(ctx); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		})
	}
	part(&tail, later, "store", a.store.Run)
	part(&tail, later, "page", func(ctx context.Context) error { return a.web.Serve(ctx, a.listeners, a.socket) })
	part(&tail, later, "publishing", a.outbound.Run)
	part(&middle, deciding, "loop", a.loop.Run)
	var next *setup
	part(&head, ctx, "systemd", a.notify)
	part(&head, ctx, "own faults", a.watchOwn)
	err := a.restore(ctx)
	if err == nil {
		part(&head, ctx, "inbound", a.inbound.Run)
		next, err = again.watch(ctx, a)
	}
	stop()
	err = errors.Join(err, head.Wait())
	stopDeciding()
	err = errors.Join(err, middle.Wait())
	stopLater()
	return next, errors.Join(err, tail.Wait(), a.close())
}
