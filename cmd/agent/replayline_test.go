package main

import (
	"testing"
	"time"
)

func TestReadRecorded(t *testing.T) {
	at := time.Date(2026, 11, 25, 2, 20, 0, 123456000, time.UTC)
	whole := at.Truncate(time.Second)
	for _, c := range []struct {
		name, line string
		want       recorded
	}{
		{
			"mosquitto_sub %j", `{"tst":"2026-11-25T02:20:00.123456Z+0000","topic":"devices/a/status","qos":1,"retain":1,"payloadlen":16,"payload":"{\"status\":-4013}"}`,
			recorded{at: at, topic: "devices/a/status", payload: `{"status":-4013}`, retained: true},
		},
		{
			"with an offset", `{"tst":"2026-11-25T03:20:00.123456Z+0100","topic":"t","payload":"-7"}`,
			recorded{at: at, topic: "t", payload: "-7"},
		},
		{
			"seconds", `{"tst":1795573200,"topic":"t","payload":"-7"}`,
			recorded{at: whole, topic: "t", payload: "-7"},
		},
		{
			"empty", `{"tst":"2026-11-25T02:20:00.123456Z+0000","topic":"t","payloadlen":0,"payload":null}`,
			recorded{at: at, topic: "t"},
		},
		{
			"%j of a quoted number", `{"tst":"2026-11-25T02:20:00Z+0000","topic":"t","payloadlen":4,"payload":"\"-7\""}`,
			recorded{at: whole, topic: "t", payload: `"-7"`},
		},
		{
			"%J of a quoted number", `{"tst":"2026-11-25T02:20:00Z+0000","topic":"t","payloadlen":4,"payload":"-7"}`,
			recorded{at: whole, topic: "t", payload: `"-7"`, reprinted: true},
		},
		{
			"%J of an object", `{"tst":"2026-11-25T02:20:00Z+0000","topic":"t","payloadlen":27,"payload":{"status":-4013,"f":1000}}`,
			recorded{at: whole, topic: "t", payload: `{"status":-4013,"f":1000}`, reprinted: true},
		},
		{
			"cut at a NUL", `{"tst":"2026-11-25T02:20:00Z+0000","topic":"t","payloadlen":15,"payload":"{\"status\":-7}"}`,
			recorded{at: whole, topic: "t", payload: "{\"status\":-7}\x00", cut: true},
		},
		{
			"no UTF-8", "{\"at\":\"2026-11-25T02:20:00Z\",\"topic\":\"t\",\"payload\":\"\xff\"}",
			recorded{at: whole, topic: "t", payload: "\xff"},
		},
		{
			"own form", `{"at":"2026-11-25T02:20:00Z","topic":"t","payload":"-7","retain":true}`,
			recorded{at: whole, topic: "t", payload: "-7", retained: true},
		},
		{
			"own form with JSON", `{"at":"2026-11-25T03:20:00+01:00","topic":"t","payload":{"status": -7},"retain":false}`,
			recorded{at: whole, topic: "t", payload: `{"status": -7}`},
		},
	} {
		got, err := readRecorded(c.line)
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v; want %+v", c.name, got, err, c.want)
		}
	}
}

func TestReadRecordedMistakes(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{`devices/a/status -7`, errLineForm.Error()},
		{`[1]`, errLineForm.Error()},
		{`{"tst":"2026-11-25T02:20:00Z+0000","topic":"t","payload":"-7"`, errLineForm.Error()},
		{`{"topic":"t","payload":"-7"}`, `there must be one time (either "tst" of mosquitto_sub, or "at")`},
		{`{"at":"2026-11-25T02:20:00Z","tst":"2026-11-25T02:20:00Z","topic":"t","payload":"-7"}`, `there must be one time (either "tst" of mosquitto_sub, or "at")`},
		{`{"at":"yesterday","topic":"t","payload":"-7"}`, `at is "yesterday" (a time as 2026-11-25T02:20:00.123456Z+0000 or 2026-11-25T02:20:00Z)`},
		{`{"at":-1,"topic":"t","payload":"-7"}`, `at is -1 (a time as 2026-11-25T02:20:00.123456Z+0000 or 2026-11-25T02:20:00Z)`},
		{`{"at":"0001-01-01T00:00:00Z","topic":"t","payload":"-7"}`, `at is "0001-01-01T00:00:00Z" (a time as 2026-11-25T02:20:00.123456Z+0000 or 2026-11-25T02:20:00Z)`},
		{`{"at":"2026-11-25T02:20:00Z","payload":"-7"}`, `topic is missing (the topic as a string)`},
		{`{"at":"2026-11-25T02:20:00Z","topic":7,"payload":"-7"}`, `topic is 7 (the topic as a string)`},
		{`{"at":"2026-11-25T02:20:00Z","topic":"t"}`, `payload is missing (a string; null or an empty string where it was empty)`},
		{`{"at":"2026-11-25T02:20:00Z","topic":"t","payload":"","retain":"yes"}`, `retain is "yes" (true or false, or 1 or 0)`},
		{`{"at":"2026-11-25T02:20:00Z","topic":"t","topic":"u","payload":""}`, `"topic" is there twice (once)`},
	} {
		if _, err := readRecorded(c.line); err == nil || err.Error() != c.want {
			t.Errorf("%s\n got %v\nwant %s", c.line, err, c.want)
		}
	}
}

// FuzzReadRecorded: whatever a line holds, it is a message with topic and time
// or it is refused.
func FuzzReadRecorded(f *testing.F) {
	f.Add(`{"tst":"2026-11-25T02:20:00.123456Z+0000","topic":"t","qos":1,"retain":1,"payloadlen":2,"payload":"-7"}`)
	f.Add(`{"at":"2026-11-25T02:20:00Z","topic":"t","payload":{"status":-7},"retain":false}`)
	f.Add(`{"tst":1795573200,"topic":"t","payloadlen":1e300,"payload":null}`)
	f.Add("")
	f.Fuzz(func(t *testing.T, line string) {
		m, err := readRecorded(line)
		if err == nil && (m.topic == "" || m.at.IsZero()) {
			t.Errorf("%q is taken: %+v", line, m)
		}
	})
}
