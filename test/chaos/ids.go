package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// report is one id: one fault of one device that no other message tells of, so
// that it must raise an event of its own. Times are zero where it never got so
// far.
type report struct {
	n      int
	device string
	code   int
	ts     int64 // milliseconds since 1970, as in the message

	sent      time.Time
	broker    time.Time // acknowledged by the broker
	given     time.Time // last handed to the agent's connection
	life      int       // the agent's life at that time
	agent     time.Time // acknowledged by the agent
	decided   time.Time // seen in the store
	delivered time.Time // received by the app
	raised    int       // different raised events
	removed   bool
}

// event is one event that anybody saw.
type event struct {
	epoch, kind, device string
	seq                 int64
	stored              bool      // in the agent's store
	at                  time.Time // first seen anywhere
	sent                int       // by the agent
	acknowledged        bool      // by the broker, to the agent
	received            int       // by the app
	away                bool      // received by the app that is away now and then
	ambiguous           bool      // another event had the same id
	lastLife            int       // the agent's life when it was last acknowledged
}

// codes have conditions of their own, raise at once, supersede nothing, and
// speak of one device only: no fault of the site explains them.
func codes() []int { return []int{-7, -1, -4012, -4028, -9, -4034, -8, -4029} }

// topic and payload of a report.
func (r *report) topic() string { return "devices/" + r.device + "/status" }

func (r *report) payload() []byte {
	return []byte(`{"status":` + strconv.Itoa(r.code) + `,"ts":` + strconv.FormatInt(r.ts, 10) + `,"msg":"id ` + strconv.Itoa(r.n) + `"}`)
}

// body is what the harness reads of an event.
type body struct {
	ID        string `json:"event_id"`
	Seq       int64  `json:"seq"`
	Epoch     string `json:"epoch"`
	Type      string `json:"type"`
	From      int64  `json:"from_seq"` // of what was dropped
	To        int64  `json:"to_seq"`
	Diagnosis struct {
		Device   string `json:"device"`
		Code     int    `json:"code"`
		SourceTS any    `json:"source_ts"`
	} `json:"diagnosis"`
}

func parseEvent(payload []byte) (body, error) {
	var b body
	d := json.NewDecoder(strings.NewReader(string(payload)))
	d.UseNumber()
	if err := d.Decode(&b); err != nil {
		return b, fmt.Errorf("read an event: %w", err)
	}
	return b, nil
}
