package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"fieldmedic/internal/mqtt"
	"fieldmedic/internal/rules"
)

func newDemo() *cobra.Command {
	var last time.Duration
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show the service at work on a simulated site",
		Long: `Run the service on a broker of its own, with a simulated site that breaks and
heals in a loop, and print each diagnosis as it is raised, changed and cleared.

The state is kept in a temporary directory and removed at the end. Broker and
page take free ports on 127.0.0.1. No configuration file is read, and nothing
leaves this machine. Ctrl-C ends it.`,
		Example: `  fieldmedic demo
  fieldmedic demo --for 1m`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if last < 0 || cmd.Flags().Changed("for") && last == 0 {
				return usage(fmt.Errorf("--for: %s is no time to run (such as 30s or 5m)", last))
			}
			err := runDemo(cmd.Context(), last, cmd.OutOrStdout(), cmd.ErrOrStderr())
			if err != nil {
				return &exitError{exitFailed, err}
			}
			return nil
		},
	}
	cmd.Flags().DurationVar(&last, "for", 0, "end after this `time` (default: run until interrupted)")
	return cmd
}

// demoReady is how long the agent may take to reach its own broker.
const demoReady = 15 * time.Second

// runDemo runs agent, site and screen until ctx ends, or for a while.
func runDemo(ctx context.Context, last time.Duration, stdout, stderr io.Writer) (err error) {
	if last > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, last)
		defer cancel()
	}
	// A terminal that is closed, or a reader who has seen enough, ends it too:
	// the state is to be removed in any case.
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGHUP, syscall.SIGPIPE)
	defer stop()
	dir, err := os.MkdirTemp("", "fieldmedic-demo-")
	if err != nil {
		return fmt.Errorf("make a place for the state: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	showBack, err := hideRuntimeDirectory()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, showBack()) }()
	var again reloader // nobody asks it
	again.use(stderr, LogConfig{Level: "error", Format: "text"})
	now, err := demoSetup(dir)
	if err != nil {
		return err
	}
	a, err := newAgent(ctx, now, again.log)
	if err != nil {
		return err
	}
	// The agent outlives site and screen, so that neither loses its broker
	// before the end.
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	g, ctx := errgroup.WithContext(ctx)
	stopped := make(chan error, 1)
	go func() {
		_, err := a.run(life, &again)
		stopped <- err
	}()
	g.Go(func() error { return showDemo(ctx, a, stdout) })
	g.Go(func() error {
		select {
		case err := <-stopped:
			stopped <- nil
			return errors.Join(errors.New("the agent stopped by itself"), err)
		case <-ctx.Done():
			return nil
		}
	})
	err = g.Wait()
	end()
	return errors.Join(err, <-stopped)
}

// showDemo waits for the agent, and then lets the site live and shows what the
// agent says of it.
func showDemo(ctx context.Context, a *agent, stdout io.Writer) error {
	deadline := time.Now().Add(demoReady)
	for a.ready() != nil {
		if time.Now().After(deadline) {
			return fmt.Errorf("the agent does not come up: %w", a.ready())
		}
		if !pause(ctx, 20*time.Millisecond) {
			return nil
		}
	}
	broker := a.brokerListeners[0].Addr().String()
	screen := newDemoScreen(stdout)
	closeScreen, err := screen.listen(ctx, broker)
	if err != nil {
		return err
	}
	defer closeScreen()
	site, closeSite, err := newDemoSite(ctx, broker, screen.tell)
	if err != nil {
		return err
	}
	defer closeSite()
	if err := screen.introduce(a); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return site.run(ctx) })
	g.Go(func() error { return screen.run(ctx) })
	return g.Wait()
}

// demoSetup is the configuration of the demo: the defaults, on free ports of
// this machine and with a place of its own. Neither the configuration file nor
// the environment has a say, for they belong to the real service.
func demoSetup(dir string) (setup, error) {
	const anyPort = "127.0.0.1:0"
	cfg := &Config{
		Gateway: "demo", Languages: []string{"en"}, State: StateConfig{Dir: dir},
		MQTT: MQTTConfig{
			Broker: mqtt.Embedded, Listen: anyPort, ClientID: "fieldmedic-demo", BaseTopic: "diagnostics",
		},
		Sources: []SourceConfig{{Name: "status", Topic: "devices/{device}/status", Format: string(mqtt.FormatDNA)}},
		Site:    SiteConfig{Internet: true},
		Checks:  ChecksConfig{Timeout: 3 * time.Second, PerMinute: 60}, // off: they would go out to the network
		Store:   StoreConfig{Retention: 720 * time.Hour, MaxSize: 64 << 20},
		Web:     WebConfig{Listen: anyPort},
	}
	set, err := rules.Load(rules.Options{Languages: cfg.Languages})
	return setup{cfg: cfg, set: set}, err
}

// hideRuntimeDirectory keeps the demo off the control socket of the real
// service, where it was started with that one's environment.
func hideRuntimeDirectory() (showBack func() error, err error) {
	const name = "RUNTIME_DIRECTORY"
	dir, set := os.LookupEnv(name)
	if !set {
		return func() error { return nil }, nil
	}
	return func() error { return os.Setenv(name, dir) }, os.Unsetenv(name)
}

// pause waits; false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
