package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"reflect"

	"github.com/spf13/pflag"
)

// reloader loads the configuration anew when it is asked to.
type reloader struct {
	flags *pflag.FlagSet
	asked <-chan os.Signal
	// log and level are those of the setup that runs.
	log   *slog.Logger
	level slog.LevelVar
	// problem is what was wrong at the last reload; shown in `info`.
	problem string
}

// use makes the log that a setup wants; the first one also tells what in the
// environment looks like ours and sets nothing.
func (r *reloader) use(w io.Writer, cfg LogConfig) {
	first := r.log == nil
	r.log = newLog(w, cfg, &r.level)
	if !first {
		return
	}
	for _, name := range strangeVariables(os.Environ()) {
		r.log.Warn("an environment variable sets nothing", "variable", name)
	}
}

// watch waits for SIGHUP. A setup that is wrong is told and changes nothing;
// what can be changed in a running agent is swapped; anything else is answered
// as the setup to start with.
func (r *reloader) watch(ctx context.Context, a *agent) (*setup, error) {
	for {
		select {
		case <-ctx.Done():
			return nil, nil
		case <-r.asked:
		}
		next, err := loadSetup(r.flags)
		if err != nil {
			r.refuse(a, err)
			continue
		}
		r.problem = ""
		if !swappable(a.setup(), &next) {
			r.log.Info("the new configuration needs a new start, which follows")
			return &next, nil
		}
		if err := a.renew(next.cfg); err != nil {
			r.refuse(a, err)
			continue
		}
		if err := a.swap(ctx, next); err != nil && ctx.Err() == nil {
			r.refuse(a, err)
			continue
		} else if err != nil {
			return nil, err
		}
		setLevel(&r.level, next.cfg.Log.Level)
		a.note("")
		r.log.Info("configuration and rules were loaded anew")
	}
}

// refuse keeps what runs and says why.
func (r *reloader) refuse(a *agent, err error) {
	r.problem = err.Error()
	r.log.Error("the new configuration cannot be taken over, the old one stays", "err", err)
	a.note(r.problem)
}

// swappable tells whether two setups differ only in what a running agent can
// take over.
func swappable(running, following *setup) bool {
	now, next := running.cfg, following.cfg
	same := *next
	same.Languages = now.Languages
	same.Sources = now.Sources
	same.MQTT.Requests = now.MQTT.Requests
	same.Rules = now.Rules
	same.Site = now.Site
	same.Checks = now.Checks
	same.Log.Level = now.Log.Level
	return reflect.DeepEqual(now, &same) && reflect.DeepEqual(running.tokens, following.tokens)
}

// swap takes over a setup while running; see swappable.
func (a *agent) swap(ctx context.Context, next setup) error {
	sources, err := next.cfg.sources()
	if err != nil {
		return err
	}
	if err := a.loop.SetRules(ctx, next.set, next.set); err != nil {
		return fmt.Errorf("swap the rules: %w", err)
	}
	a.now.Store(&next) // behind the loop: what is published is worded by what decided it
	if err := a.takeInventory(ctx); err != nil {
		return err
	}
	a.inbound.SetSources(sources, verbs(next.cfg.MQTT.Requests))
	return nil
}

// renew reads again what files hold under the same name: the page's
// certificate, and the password of the broker in the process. The client's own
// are read at each connect.
func (a *agent) renew(cfg *Config) error {
	if cfg.Web.CertFile != "" {
		if err := a.loadCertificate(cfg); err != nil {
			return err
		}
	}
	if a.broker == nil {
		return nil
	}
	secret, err := readSecret(cfg.MQTT.PasswordFile)
	if err != nil {
		return fmt.Errorf("mqtt.password_file: %w", err)
	}
	a.broker.SetPassword(secret)
	return nil
}
