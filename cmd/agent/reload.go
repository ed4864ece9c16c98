package main

import (
	"context"
	"log/slog"
	"os"
	"reflect"

	"github.com/spf13/pflag"
)

// reloader loads the configuration anew when it is asked to.
type reloader struct {
	flags *pflag.FlagSet
	log   *slog.Logger
	level *slog.LevelVar
	asked <-chan os.Signal
	// problem is what was wrong at the last reload; shown in `info`.
	problem string
	// before is the setup that ran before the present one, while it may still
	// be needed.
	before *setup
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
		if !swappable(a.setup().cfg, next.cfg) {
			r.log.Info("the new configuration needs a new start, which follows")
			return &next, nil
		}
		if err := a.swap(ctx, next); err != nil {
			return nil, err
		}
		setLevel(r.level, next.cfg.Log.Level)
		a.note("")
		r.log.Info("configuration and rules were loaded anew")
	}
}

// swappable tells whether two configurations differ only in what a running
// agent can take over.
func swappable(now, next *Config) bool {
	same := *next
	same.Languages = now.Languages
	same.Sources = now.Sources
	same.MQTT.Requests = now.MQTT.Requests
	same.Rules = now.Rules
	same.Site = now.Site
	same.Checks = now.Checks
	same.Log.Level = now.Log.Level
	return reflect.DeepEqual(now, &same)
}
