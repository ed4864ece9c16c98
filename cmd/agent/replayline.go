package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"
)

// This file reads one line of a recording. The value of the payload is taken
// as it stands, byte by byte: what the live agent refused must be refused.

// recorded is one message of a recording.
type recorded struct {
	at       time.Time
	topic    string
	payload  string
	retained bool
	// reprinted: the recorder was told to print payloads as JSON (%J).
	reprinted bool
	// cut: the recorder lost the end of the payload.
	cut bool
}

// errLineForm says what a line is to look like.
var errLineForm = errors.New(`not a recorded message (a line of mosquitto_sub -F '%j', or {"at":"2026-11-25T02:20:00Z","topic":"...","payload":"...","retain":false})`)

// readRecorded reads a line.
func readRecorded(line string) (recorded, error) {
	if !gjson.Valid(line) || line[0] != '{' {
		return recorded{}, errLineForm
	}
	var at, tst, topic, payload, retain, length gjson.Result
	slots := map[string]*gjson.Result{
		"at": &at, "tst": &tst, "topic": &topic, "payload": &payload, "retain": &retain, "payloadlen": &length,
	}
	twice := ""
	gjson.Parse(line).ForEach(func(key, value gjson.Result) bool {
		slot := slots[key.Str]
		if slot != nil && slot.Exists() {
			twice = key.Str
		}
		if slot != nil {
			*slot = value
		}
		return twice == ""
	})
	m := recorded{topic: topic.Str}
	var err error
	switch {
	case twice != "":
		return m, fmt.Errorf("%q is there twice (once)", twice)
	case topic.Type != gjson.String || topic.Str == "":
		return m, fmt.Errorf("topic is %s (the topic as a string)", shown(topic))
	case at.Exists() == tst.Exists():
		return m, errors.New(`there must be one time (either "tst" of mosquitto_sub, or "at")`)
	case tst.Exists():
		m.at, err = recordedTime("tst", tst)
		m.takeRecorded(payload, length)
	default:
		m.at, err = recordedTime("at", at)
		m.payload = plainPayload(payload)
	}
	if err != nil {
		return m, err
	}
	if !payload.Exists() {
		return m, errors.New("payload is missing (a string; null or an empty string where it was empty)")
	}
	m.retained, err = recordedRetain(retain)
	return m, err
}

// plainPayload is the payload of a string, or, where JSON stands in its place,
// that JSON.
func plainPayload(v gjson.Result) string {
	switch v.Type {
	case gjson.String:
		return v.Str
	case gjson.Null:
		return ""
	default:
		return v.Raw
	}
}

// takeRecorded reads mosquitto_sub's payload: %j prints it as a string, %J
// prints the JSON that it is, and both print null for an empty one. The
// length, which is that of the real payload, tells a string of %J, and what
// was lost behind a NUL. Seen with mosquitto_sub 2.0.11.
func (m *recorded) takeRecorded(v, length gjson.Result) {
	m.payload = plainPayload(v)
	size := int(length.Num)
	switch {
	case v.Type == gjson.Null:
	case v.Type != gjson.String:
		m.reprinted = true
	case length.Type != gjson.Number || size <= len(m.payload):
	case size == len(v.Raw):
		m.payload, m.reprinted = v.Raw, true
	default:
		// A payload that holds a NUL is refused; so is it here.
		m.payload, m.cut = m.payload+"\x00", true
	}
}

// stampForms are those of mosquitto_sub, which puts a Z before the offset, and
// RFC 3339.
func stampForms() []string {
	return []string{"2006-01-02T15:04:05Z-0700", time.RFC3339}
}

// recordedTime reads a time: as text, or as seconds since 1970, which older
// versions of mosquitto_sub print.
func recordedTime(key string, v gjson.Result) (time.Time, error) {
	if v.Type == gjson.Number {
		if seconds, err := strconv.ParseInt(v.Raw, 10, 64); err == nil && plausible(time.Unix(seconds, 0).UTC()) {
			return time.Unix(seconds, 0).UTC(), nil
		}
	}
	if v.Type == gjson.String {
		for _, form := range stampForms() {
			if at, err := time.Parse(form, v.Str); err == nil && plausible(at.UTC()) {
				return at.UTC(), nil
			}
		}
	}
	return time.Time{}, fmt.Errorf("%s is %s (a time as 2026-11-25T02:20:00.123456Z+0000 or 2026-11-25T02:20:00Z)", key, shown(v))
}

// plausible times can be written in RFC 3339, and are not mistaken for none.
func plausible(at time.Time) bool { return at.Year() >= 1970 && at.Year() <= 9999 }

func recordedRetain(v gjson.Result) (bool, error) {
	switch {
	case !v.Exists() || v.Type == gjson.False || v.Raw == "0":
		return false, nil
	case v.Type == gjson.True || v.Raw == "1":
		return true, nil
	}
	return false, fmt.Errorf("retain is %s (true or false, or 1 or 0)", shown(v))
}

// shown is a value in a message.
func shown(v gjson.Result) string {
	const most = 64
	if !v.Exists() {
		return "missing"
	}
	return visible(cutText(v.Raw, most))
}

func cutText(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}
