package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"fieldmedic/internal/rules"
	"fieldmedic/internal/web"
)

func newCheck() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check the configuration and all rules",
		Long: `Check the configuration and all rules, as a start of the service would, and start
nothing. It prints ok, or every mistake with its place and what would be right, and
exits 2 then.`,
		Example: `  fieldmedic check
  fieldmedic check --config ./fieldmedic.yaml
  fieldmedic check --rules-dir ./rules.d -o json`,
		Args: noArguments,
	}
	addConfigFlags(cmd.Flags())
	output := addOutput(cmd, formatText)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		found, err := checkAll(cmd.Flags())
		if err != nil {
			return usage(err)
		}
		if output.word == formatJSON {
			err = printJSON(cmd.OutOrStdout(), found)
		} else if len(found) == 0 {
			_, err = fmt.Fprintln(cmd.OutOrStdout(), "ok")
		} else {
			for _, m := range found {
				fmt.Fprintln(cmd.ErrOrStderr(), m.line)
			}
		}
		if err != nil || len(found) == 0 {
			return err
		}
		return usage(nil) // all is said
	}
	return cmd
}

// checkMistake is one mistake of the configuration or of a rule.
type checkMistake struct {
	// Where is the file, the environment variable or the flag.
	Where string `json:"where"`
	// Line and Col count from 1; left out where the mistake is of the whole.
	Line int `json:"line,omitempty"`
	Col  int `json:"col,omitempty"`
	// Key of the configuration, where it is of one.
	Key  string `json:"key,omitempty"`
	Text string `json:"text"`
	line string
}

// checkAll finds the mistakes of the configuration and, beside them, those of
// the rules. The error is for what could not be checked at all.
func checkAll(flags *pflag.FlagSet) ([]checkMistake, error) {
	found := []checkMistake{}
	cfg, err := loadConfig(flags)
	var config configMistakes
	if err != nil && !errors.As(err, &config) {
		return nil, err
	}
	for _, m := range config {
		found = append(found, checkMistake{m.where, m.line, m.col, m.key, m.text, m.String()})
	}
	// The rules are looked at all the same, so that one run tells all.
	opts := rules.Options{}
	if cfg != nil {
		opts.Dir = cfg.Rules.Dir
	}
	if err == nil {
		opts.Languages = cfg.Languages
	}
	if cfg != nil && cfg.Web.TokenFile != "" {
		// A file that cannot be read is among the configuration's mistakes.
		if _, err := web.ReadTokens(cfg.Web.TokenFile); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
			text := "web.token_file: " + err.Error()
			found = append(found, checkMistake{Where: cfg.Web.TokenFile, Key: "web.token_file", Text: err.Error(), line: text})
		}
	}
	var wrong rules.Mistakes
	if _, err := rules.Load(opts); err != nil && !errors.As(err, &wrong) {
		return nil, err
	}
	for _, m := range wrong {
		found = append(found, checkMistake{cmp.Or(m.File, "rules"), m.Line, m.Col, "", m.Text, m.String()})
	}
	return found, nil
}
