package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"fieldmedic/internal/diagnose"
	"fieldmedic/internal/mqtt"
	"fieldmedic/internal/rules"
)

func newReplay() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "replay FILE...",
		Short: "Run recorded traffic through the rules, in virtual time",
		Long: `Run recorded traffic through sources and rules of the configuration, in virtual
time, and print one event a line, as the live service would have published it. "-" is
stdin; several files are merged by time.

It reads lines of mosquitto_sub -F '%j', and {"at","topic","payload","retain"}; blank
lines are skipped. Record with %j, not %J, which loses payloads that are not JSON.
Time ends with the last message, or --until later, so that quiet times can run out.`,
		Example: `  mosquitto_sub -t 'devices/#' -F '%j' > hour.jsonl
  fieldmedic replay hour.jsonl
  fieldmedic replay --until 24h -o text monday.jsonl tuesday.jsonl
  fieldmedic replay --rules-dir ./rules.d - < hour.jsonl`,
		Args: cobra.MinimumNArgs(1),
	}
	addConfigFlags(cmd.Flags())
	output := addOutput(cmd, formatJSON)
	until := cmd.Flags().Duration("until", 0, "let time run on for `duration` after the last message")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *until < 0 {
			return usage(fmt.Errorf("--until: %v is negative (a duration such as 24h)", *until))
		}
		s, err := loadSetup(cmd.Flags())
		if err != nil {
			return err
		}
		all, closeAll, err := openRecordings(args, cmd.InOrStdin())
		if err != nil {
			return &exitError{exitFailed, err}
		}
		defer closeAll()
		// There is nothing to put in order at the end, and a read of stdin
		// would not hear of it: a signal ends the program as it ends any filter.
		signal.Reset(os.Interrupt, syscall.SIGTERM)
		r, err := newReplayer(s, cmd.OutOrStdout(), cmd.ErrOrStderr(), output.word == formatText)
		if err != nil {
			return usage(err)
		}
		return r.replay(all, *until)
	}
	return cmd
}

// replayer is an engine in virtual time, between a decoder and a printer.
type replayer struct {
	set      *rules.Set
	engine   *diagnose.Engine
	decoder  *mqtt.Decoder
	own      string // what the agent itself publishes begins with it
	out, log io.Writer
	text     bool

	now time.Time
	seq int64
	// conditions by the id of each occurrence that was told.
	conditions map[string]string
	counts     replayCounts
	warned     map[string]bool
}

// replayCounts are what is told at the end.
type replayCounts struct {
	messages, own, strange int // strange: of topics that no source reads
	refused                map[diagnose.Refusal]int
}

func newReplayer(s setup, out, log io.Writer, text bool) (*replayer, error) {
	sources, err := s.cfg.sources()
	if err != nil {
		return nil, err
	}
	ids := 0
	r := &replayer{
		set: s.set, decoder: mqtt.NewDecoder(sources), own: s.cfg.MQTT.BaseTopic,
		out: out, log: log, text: text,
		engine: diagnose.NewEngine(diagnose.Options{
			Gateway: s.cfg.Gateway, Rules: s.set,
			NewID: func(time.Time) string { ids++; return strconv.Itoa(ids) },
		}),
		conditions: make(map[string]string), warned: make(map[string]bool),
		counts: replayCounts{refused: make(map[diagnose.Refusal]int)},
	}
	r.engine.Sources(sourceNames(s.cfg))
	r.engine.Inventory(time.Time{}, inventory(s.cfg))
	return r, nil
}

// replay runs all recordings, and time for a while after them. What was read is
// told however it ends.
func (r *replayer) replay(all []*recording, after time.Duration) error {
	defer r.sum()
	if err := merge(all, r.take); err != nil {
		return err
	}
	if r.counts.messages == 0 {
		return nil // no time to begin with
	}
	return r.run(r.now.Add(after))
}

// take runs time up to a message, and the message through the engine.
func (r *replayer) take(from *recording, m recorded) error {
	r.counts.messages++
	if m.reprinted {
		r.warn(from, "%J", "recorded with %J: payloads that are not JSON are lost, and numbers are rewritten (record with mosquitto_sub -F '%j')")
	}
	if m.cut {
		r.warn(from, "cut", "the payload is shorter than payloadlen says: the recorder lost what follows a NUL; such payloads are refused, as the service does")
	}
	if m.at.Before(r.now) {
		r.warn(from, "order", "the time is earlier than that of the message before, and is taken to be the same")
		m.at = r.now
	}
	if err := r.run(m.at); err != nil {
		return err
	}
	if m.topic == r.own || strings.HasPrefix(m.topic, r.own+"/") {
		r.counts.own++
		return nil
	}
	o, refused := r.decoder.Decode(m.topic, []byte(m.payload), m.retained, m.at)
	switch {
	case refused == nil:
	case refused.Reason == mqtt.RefusedNoSource:
		r.counts.strange++
		return nil
	default:
		r.counts.refused[refused.Reason]++
		return nil
	}
	out := r.engine.Observe(m.at, o)
	if out.Refused != "" {
		r.counts.refused[out.Refused]++
	}
	return r.print(out)
}

// run lets time pass up to at, with all that comes about on the way.
func (r *replayer) run(at time.Time) error {
	for {
		due := r.engine.Next()
		if due.IsZero() || due.After(at) {
			r.now = at
			return nil
		}
		if err := r.print(r.engine.Tick(due)); err != nil {
			return err
		}
	}
}

// print prints the events of one step.
func (r *replayer) print(out diagnose.Outcome) error {
	for _, c := range out.Changes {
		r.seq++
		r.conditions[c.Diagnosis.ID] = c.Diagnosis.Condition
		d := c.Diagnosis.Describe(r.set)
		d.ID = "" // made up, as would be event_id and epoch
		if by, ok := r.conditions[string(d.ExplainedBy)]; ok {
			d.ExplainedBy = diagnose.NullString(by)
		}
		if err := r.printEvent(diagnose.Event{
			Schema: diagnose.Schema, Seq: r.seq, Type: c.Type, At: diagnose.Stamp{Time: c.At}, Diagnosis: &d,
		}); err != nil {
			return err
		}
	}
	return nil
}

func (r *replayer) printEvent(ev diagnose.Event) error {
	if r.text {
		d := ev.Diagnosis
		_, err := fmt.Fprintf(r.out, "%s %-7s %s %s %s %s %s: %s\n",
			ev.At, ev.Type, visible(string(d.Device)), d.Severity, d.Status, d.Condition, d.Action, d.Title)
		return err
	}
	line, err := json.Marshal(ev)
	if err != nil {
		return fmt.Errorf("encode event %d: %w", ev.Seq, err)
	}
	_, err = r.out.Write(append(line, '\n'))
	return err
}

// warn says once of each kind what is odd about the recording.
func (r *replayer) warn(from *recording, kind, text string) {
	if !r.warned[kind] {
		r.warned[kind] = true
		fmt.Fprintf(r.log, "fieldmedic: %s:%d: %s\n", from.name, from.line, text)
	}
}

// sum says what was read.
func (r *replayer) sum() {
	c := r.counts
	said := []string{fmt.Sprintf("messages: %d", c.messages), fmt.Sprintf("events: %d", r.seq)}
	if c.own > 0 {
		said = append(said, fmt.Sprintf("of the agent itself: %d (ignored)", c.own))
	}
	if c.strange > 0 {
		said = append(said, fmt.Sprintf("of topics that no source reads: %d", c.strange))
	}
	total := 0
	var reasons []string
	for _, reason := range slices.Sorted(maps.Keys(c.refused)) {
		total += c.refused[reason]
		reasons = append(reasons, fmt.Sprintf("%s %d", reason, c.refused[reason]))
	}
	if total > 0 {
		said = append(said, fmt.Sprintf("refused: %d (%s)", total, strings.Join(reasons, ", ")))
	}
	fmt.Fprintln(r.log, "fieldmedic:", strings.Join(said, ", "))
}
