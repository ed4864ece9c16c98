package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"fieldmedic/internal/rules"
	"fieldmedic/internal/web"
)

func newRun() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the service",
		Long: `Run the service: listen to the devices, diagnose, publish.

Without a configuration file it serves a broker on 127.0.0.1:1883, diagnoses what is
published there on devices/<id>/status, and serves page and API on 127.0.0.1:8420.
SIGHUP loads configuration and rules anew; SIGTERM ends it.`,
		Example: `  fieldmedic run
  fieldmedic run --config /etc/fieldmedic/fieldmedic.yaml
  fieldmedic run --mqtt-broker mqtt://192.168.1.10:1883 --log-level debug`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runService(cmd.Context(), cmd.Flags(), cmd.ErrOrStderr())
		},
	}
	addConfigFlags(cmd.Flags())
	return cmd
}

// setup is one configuration with its rules: what a start, and a reload, is
// made from.
type setup struct {
	cfg *Config
	set *rules.Set
	// tokens that page and API accept.
	tokens []web.Token
}

// loadSetup reads configuration, rules and tokens. Whatever is wrong with either is in
// the error, all of it.
func loadSetup(flags *pflag.FlagSet) (setup, error) {
	cfg, err := loadConfig(flags)
	if err != nil {
		return setup{}, usage(err)
	}
	set, err := rules.Load(rules.Options{Languages: cfg.Languages, Dir: cfg.Rules.Dir})
	if err != nil {
		return setup{}, usage(err)
	}
	s := setup{cfg: cfg, set: set}
	if cfg.Web.TokenFile != "" {
		if s.tokens, err = web.ReadTokens(cfg.Web.TokenFile); err != nil {
			return setup{}, usage(fmt.Errorf("web.token_file: %w", err))
		}
	}
	return s, nil
}

// runService runs until ctx ends, through reloads.
func runService(ctx context.Context, flags *pflag.FlagSet, stderr io.Writer) error {
	now, err := loadSetup(flags)
	if err != nil {
		return err
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	again := reloader{flags: flags, asked: hup}
	defer context.AfterFunc(ctx, sayStopping)()
	var before *setup // what runs, while what is to follow has not started
	for {
		again.use(stderr, now.cfg.Log)
		a, err := newAgent(ctx, now, again.log)
		if err == nil {
			before = nil
			a.note(again.problem)
			var next *setup
			if next, err = a.run(ctx, &again); err == nil && next != nil {
				running := now
				before, now = &running, *next
				continue
			}
		}
		switch {
		case err == nil || ctx.Err() != nil && errors.Is(err, context.Canceled):
			return nil
		case before != nil:
			again.problem = fmt.Sprintf("the new configuration cannot be started, the old one goes on: %v", err)
			again.log.Error("the new configuration cannot be started, the old one goes on", "err", err)
			now, before = *before, nil
		default:
			return &exitError{exitFailed, err}
		}
	}
}

func newLog(w io.Writer, cfg LogConfig, level *slog.LevelVar) *slog.Logger {
	setLevel(level, cfg.Level)
	opts := &slog.HandlerOptions{Level: level}
	text := cfg.Format == "text"
	if file, ok := w.(*os.File); ok && cfg.Format == "auto" {
		text = term.IsTerminal(int(file.Fd()))
	}
	if text {
		return slog.New(slog.NewTextHandler(w, opts))
	}
	return slog.New(slog.NewJSONHandler(w, opts))
}

func setLevel(level *slog.LevelVar, name string) {
	var l slog.Level
	if l.UnmarshalText([]byte(name)) == nil { // it was checked
		level.Set(l)
	}
}

func newVersion() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  noArguments,
	}
	output := addOutput(cmd, formatText)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if output.word == formatJSON {
			return printJSON(cmd.OutOrStdout(), map[string]string{"version": versionText()})
		}
		_, err := fmt.Fprintln(cmd.OutOrStdout(), "fieldmedic", versionText())
		return err
	}
	return cmd
}
