package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
	"golang.org/x/tools/txtar"

	"fieldmedic/internal/diagnose"
	"fieldmedic/internal/mqtt"
)

// recordedHour is the configuration and the recording of replay.txtar.
func recordedHour(t *testing.T) (setup, string) {
	t.Helper()
	archive, err := txtar.ParseFile(filepath.Join("testdata", "script", "replay.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, f := range archive.Files {
		files[f.Name] = f.Data
	}
	config := filepath.Join(t.TempDir(), "site.yaml")
	if err := os.WriteFile(config, files["site.yaml"], 0o600); err != nil {
		t.Fatal(err)
	}
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	addConfigFlags(flags)
	if err := flags.Set("config", config); err != nil {
		t.Fatal(err)
	}
	s, err := loadSetup(flags)
	if err != nil {
		t.Fatal(err)
	}
	return s, string(files["hour.jsonl"])
}

// replayed runs recordings and answers the lines that are printed.
func replayed(t *testing.T, s setup, after time.Duration, recordings ...string) []string {
	t.Helper()
	var out, log bytes.Buffer
	r, err := newReplayer(s, &out, &log, false)
	if err != nil {
		t.Fatal(err)
	}
	var all []*recording
	for i, text := range recordings {
		all = append(all, newRecording(fmt.Sprint("recording ", i), strings.NewReader(text)))
	}
	if err := r.replay(all, after); err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
}

// TestReplayIsLive runs one hour through replay, and through the loop of the
// live service with its timers, at the times of the recording: the events are
// the same.
func TestReplayIsLive(t *testing.T) {
	s, hour := recordedHour(t)
	live := liveHour(t, s, hour)
	lines := replayed(t, s, 0, hour)
	if len(lines) != len(live) || len(live) < 10 {
		t.Fatalf("%d events replayed, %d live", len(lines), len(live))
	}
	for i := range lines {
		if diff := cmp.Diff(withoutIDs(t, live[i]), asMap(t, []byte(lines[i]))); diff != "" {
			t.Errorf("event %d (-live +replay):\n%s", i+1, diff)
		}
	}
}

// liveHour runs the loop in a time of its own and answers the events' bytes.
func liveHour(t *testing.T, s setup, hour string) [][]byte {
	var j journal
	synctest.Test(t, func(t *testing.T) {
		sources, err := s.cfg.sources()
		if err != nil {
			t.Fatal(err)
		}
		decoder := mqtt.NewDecoder(sources)
		messages := messagesOf(t, hour)
		start := time.Now()
		now := func() time.Time { return messages[0].at.Add(-time.Second).Add(time.Since(start)) }
		ids := 0
		engine := diagnose.NewEngine(diagnose.Options{
			Gateway: s.cfg.Gateway, Rules: s.set, NewID: func(time.Time) string { ids++; return fmt.Sprint("id ", ids) },
		})
		loop := diagnose.NewLoop(diagnose.LoopOptions{
			Engine: engine, Journal: &j, Words: s.set, Publish: func(diagnose.Publication) {},
			Refused: func(diagnose.RefusedInput) {}, Turned: func(diagnose.Turn) {},
			EventID: func(seq int64) string { return fmt.Sprint("event ", seq) }, Epoch: func() string { return "epoch" }, Now: now,
		})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- loop.Run(ctx) }()
		if err := loop.Do(ctx, func(at time.Time, e *diagnose.Engine) diagnose.Outcome {
			e.Sources(sourceNames(s.cfg))
			return e.Inventory(at, inventory(s.cfg))
		}); err != nil {
			t.Fatal(err)
		}
		for _, m := range messages {
			time.Sleep(m.at.Sub(now()))
			o, refused := decoder.Decode(m.topic, []byte(m.payload), m.retained, now())
			if refused == nil && !loop.Deliver(diagnose.Delivery{Observation: &o}) {
				t.Fatal("the inbox is full")
			}
			synctest.Wait()
		}
		stop()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	})
	return j.events
}

// journal keeps the events of a loop.
type journal struct{ events [][]byte }

func (j *journal) Commit(_ context.Context, b *diagnose.Batch) error {
	for _, e := range b.Entries {
		j.events = append(j.events, e.Body)
	}
	return nil
}

func (j *journal) Recover(context.Context) (diagnose.Restored, error) {
	return diagnose.Restored{}, errors.New("this journal never fails")
}

func messagesOf(t *testing.T, text string) []recorded {
	t.Helper()
	var all []recorded
	err := merge([]*recording{newRecording("hour", strings.NewReader(text))}, func(_ *recording, m recorded) error {
		all = append(all, m)
		return nil
	})
	if err != nil || len(all) == 0 {
		t.Fatalf("%d messages, %v", len(all), err)
	}
	return all
}

func asMap(t *testing.T, line []byte) map[string]any {
	t.Helper()
	var event map[string]any
	if err := json.Unmarshal(line, &event); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return event
}

// withoutIDs is a live event without what replay leaves out.
func withoutIDs(t *testing.T, line []byte) map[string]any {
	t.Helper()
	event := asMap(t, line)
	d, ok := event["diagnosis"].(map[string]any)
	for _, gone := range []string{"event_id", "epoch"} {
		_, there := event[gone]
		ok = ok && there
		delete(event, gone)
	}
	if _, there := d["id"]; !ok || !there {
		t.Fatalf("no live event: %s", line)
	}
	delete(d, "id")
	return event
}

// TestReplayFields holds the fields of an event against the contract's list.
func TestReplayFields(t *testing.T) {
	s, hour := recordedHour(t)
	for i, line := range replayed(t, s, 0, hour) {
		event := asMap(t, []byte(line))
		if got := slices.Sorted(maps.Keys(event)); !slices.Equal(got, []string{"at", "diagnosis", "schema", "seq", "type"}) {
			t.Errorf("event %d has %v", i+1, got)
		}
		if event["seq"] != float64(i+1) {
			t.Errorf("event %d has seq %v", i+1, event["seq"])
		}
		d, _ := event["diagnosis"].(map[string]any)
		for field := range strings.FieldsSeq(`gateway device scope condition family code code_raw msg severity kind status
			action causes evidence title first_seen last_seen last_ok cleared_at source_ts occurrence reports flapping
			cleared_by explained_by acknowledged ignored rule stale`) {
			if _, ok := d[field]; !ok {
				t.Errorf("event %d has no %s", i+1, field)
			}
		}
	}
}

// TestReplayMerges deals an hour out to three files: nothing changes.
func TestReplayMerges(t *testing.T) {
	s, hour := recordedHour(t)
	var parts [3]strings.Builder
	i := 0
	for line := range strings.Lines(hour) {
		parts[i%3].WriteString(line)
		i++
	}
	whole := replayed(t, s, 0, hour)
	dealt := replayed(t, s, 0, parts[1].String(), parts[0].String(), parts[2].String())
	if diff := cmp.Diff(whole, dealt); diff != "" {
		t.Errorf("merged files differ (-whole +merged):\n%s", diff)
	}
}

// TestReplayYears: three years with a fault each hour take seconds.
func TestReplayYears(t *testing.T) {
	s, _ := recordedHour(t)
	var b strings.Builder
	at := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	const hours = 3 * 365 * 24
	for range hours {
		fmt.Fprintf(&b, `{"at":%q,"topic":"devices/ac-7/status","payload":"-4013"}`+"\n", at.Format(time.RFC3339))
		fmt.Fprintf(&b, `{"at":%q,"topic":"devices/ac-7/status","payload":"0"}`+"\n", at.Add(time.Minute).Format(time.RFC3339))
		at = at.Add(time.Hour)
	}
	start := time.Now()
	lines := replayed(t, s, 0, b.String())
	if len(lines) != 2*hours {
		t.Errorf("%d events, want %d", len(lines), 2*hours)
	}
	last, _ := asMap(t, []byte(lines[len(lines)-1]))["diagnosis"].(map[string]any)
	if last["occurrence"] != float64(hours) || last["status"] != "cleared" {
		t.Errorf("the last event is of occurrence %v, %v", last["occurrence"], last["status"])
	}
	t.Logf("%d events in %v", len(lines), time.Since(start))
}
