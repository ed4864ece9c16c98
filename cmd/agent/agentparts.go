package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"fieldmedic/internal/diagnose"
	"fieldmedic/internal/mqtt"
)

// This file is what the parts of the agent need of the configuration and of
// the machine.

func (a *agent) server(cfg *Config) (mqtt.Server, error) {
	s := mqtt.Server{Username: cfg.MQTT.Username}
	if cfg.MQTT.PasswordFile != "" {
		s.Password = func() (string, error) { return readSecret(cfg.MQTT.PasswordFile) }
	}
	address := cfg.MQTT.Broker
	if address == mqtt.Embedded {
		address = "mqtt://" + a.brokerListeners[0].Addr().String()
	}
	var err error
	if s.URL, err = mqtt.ParseServerURL(address); err != nil {
		return s, fmt.Errorf("mqtt.broker: %w", err)
	}
	s.TLS, err = mqtt.TLSFiles(s.URL.Hostname(), cfg.MQTT.CAFile, cfg.MQTT.CertFile, cfg.MQTT.KeyFile)
	if s.TLS != nil {
		s.TLS.Time = a.clock.now // a gateway that boots in 1970 knows at least that it is later
	}
	return s, err
}

// rootTopic is what all topics of this gateway begin with.
func rootTopic(cfg *Config) string {
	return cfg.MQTT.BaseTopic + "/" + mqtt.EscapeID(cfg.Gateway) + "/"
}

// readSecret reads a password; a line end behind it is not part of it.
func readSecret(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	content, err := readAtMost(file, maxConfig)
	if err != nil {
		return "", fmt.Errorf("read a password from %s: %w", file, plainFileError(err))
	}
	return strings.TrimRight(string(content), "\r\n"), nil
}

// taken says which key to set when a port is taken.
func taken(key, address string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%s: %s is taken by another program (stop that one, or set %s)", key, address, key)
	}
	return fmt.Errorf("%s: %w", key, err)
}

func verbs(names []string) []diagnose.Verb {
	list := make([]diagnose.Verb, len(names))
	for i, n := range names {
		list[i] = diagnose.Verb(n)
	}
	return list
}

func sourceNames(cfg *Config) []string {
	names := make([]string, len(cfg.Sources))
	for i, s := range cfg.Sources {
		names[i] = s.Name
	}
	return names
}

func inventory(cfg *Config) []string {
	ids := make([]string, len(cfg.Site.Devices))
	for i, d := range cfg.Site.Devices {
		ids[i] = d.ID
	}
	return ids
}

// info is the content of the retained topic `info`.
type info struct {
	Schema    string         `json:"schema"`
	Gateway   string         `json:"gateway"`
	Version   string         `json:"version"`
	StartedAt diagnose.Stamp `json:"started_at"`
	Epoch     string         `json:"epoch"`
	Packs     []packInfo     `json:"packs"`
	Sources   []sourceInfo   `json:"sources"`
	Languages []string       `json:"languages"`
	// ReloadError is what was wrong at the last reload, or null.
	ReloadError *string `json:"reload_error"`
}

type packInfo struct {
	Name    string `json:"name"`
	Version int    `json:"version"`
	Rules   int    `json:"rules"`
	Site    bool   `json:"site"`
}

type sourceInfo struct {
	Name   string `json:"name"`
	Topic  string `json:"topic"`
	Format string `json:"format"`
}

func (a *agent) info() info {
	s := a.setup()
	i := info{
		Schema: diagnose.Schema, Gateway: s.cfg.Gateway, Version: versionText(), StartedAt: diagnose.Stamp{Time: a.started},
		Epoch: a.store.Epoch(), Languages: s.set.Languages(), ReloadError: a.problem.Load(),
	}
	for _, p := range s.set.Packs() {
		i.Packs = append(i.Packs, packInfo{p.Name, p.Version, p.Rules, p.Site})
	}
	for _, src := range s.cfg.Sources {
		i.Sources = append(i.Sources, sourceInfo{src.Name, src.Topic, src.Format})
	}
	return i
}

// note keeps what was wrong at the last reload, or that nothing was, and
// publishes it with the rest of `info`.
func (a *agent) note(problem string) {
	a.problem.Store(nil)
	if problem != "" {
		a.problem.Store(&problem)
	}
	if a.own != nil {
		if problem != "" {
			a.own.set(ownConfiguration, problem)
		} else {
			a.own.end(ownConfiguration)
		}
	}
	a.renote()
}

// renote publishes `info` as it is now.
func (a *agent) renote() {
	if a.outbound == nil {
		return
	}
	if err := a.outbound.SetInfo(a.info()); err != nil {
		a.log.Error("publish info", "err", err)
	}
}

const (
	// slowTurn is how long the loop may be without a turn: it makes one every
	// five seconds even when nothing happens.
	slowTurn = 20 * time.Second
	// statusEvery is how often systemd is told how things stand.
	statusEvery = 10 * time.Second
)

// alive is nil while the loop makes turns.
func (a *agent) alive() error {
	if since := a.loop.SinceTurn(); since > slowTurn && time.Since(a.started) > slowTurn {
		return fmt.Errorf("the loop made no turn for %s", since.Round(time.Second))
	}
	return nil
}

// ready is nil while messages are taken and published.
func (a *agent) ready() error {
	in, out := a.inbound.State(), a.outbound.State()
	failed := a.failed.Load()
	switch {
	case failed != nil:
		return fmt.Errorf("%s: %w", failed.fault, failed.err)
	case in.State != mqtt.LinkConnected:
		return fmt.Errorf("inbound connection: %s %s", in.State, in.Detail)
	case out.State != mqtt.LinkConnected:
		return fmt.Errorf("publishing connection: %s %s", out.State, out.Detail)
	}
	return a.alive()
}

// notify tells systemd that the service is up, feeds its watchdog while the
// loop makes progress, and says in one line how things stand.
func (a *agent) notify(ctx context.Context) error {
	send := func(state string) {
		if _, err := daemon.SdNotify(false, state); err != nil {
			a.log.Warn("tell systemd", "err", err)
		}
	}
	send(daemon.SdNotifyReady)
	every := statusEvery
	watchdog, err := daemon.SdWatchdogEnabled(false)
	if err == nil && watchdog > 0 {
		every = min(every, watchdog/3)
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		if a.alive() == nil {
			send(daemon.SdNotifyWatchdog)
		}
		status := "diagnosing"
		if err := a.ready(); err != nil {
			status = err.Error()
		}
		send("STATUS=" + status)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// sayStopping tells systemd that the service ends. A new start inside the
// process says no such thing: systemd would wait for the end, and then make it.
func sayStopping() {
	_, _ = daemon.SdNotify(false, daemon.SdNotifyStopping) // systemd sees the end of the process as well
}

// socketPath is where the command line finds the service.
func socketPath(cfg *Config) string {
	if dir := os.Getenv("RUNTIME_DIRECTORY"); dir != "" {
		return filepath.Join(dir, "fieldmedic.sock")
	}
	return filepath.Join(cfg.State.Dir, "fieldmedic.sock")
}
