package main

import (
	"context"
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
			r.problem = err.Error()
			r.log.Error("the new configuration is wrong, the old one stays", "err", err)
			a.note(r.problem)
			continue
		}
		r.problem = ""
		if !swappable(a.setup(), &next) {
			r.log.Info("the new configuration needs a new start, which follows")
			return &next, nil
		}
		if err := a.swap(ctx, next); err != nil {
			return nil, err
		}
		setLevel(&r.level, next.cfg.Log.Level)
		a.note("")
		r.log.Info("configuration and rules were loaded anew")
	}
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
