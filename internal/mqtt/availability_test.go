package mqtt

import (
	"fmt"
	"testing"

	"fieldmedic/internal/diagnose"
)

func decodeAvailability(t testing.TB, payload string) (diagnose.Observation, *diagnose.RefusedInput) {
	t.Helper()
	return testDecoder(t).Decode("devices/ac-7/availability", []byte(payload), false, testTime)
}

func TestAvailabilityWords(t *testing.T) {
	words := map[diagnose.Saying][]string{
		diagnose.SaysOnline:  {"online", "Online", "ONLINE", "true", "True", "1", "up", "ready", "ok", "OK", "available", "connected", "reachable", "alive", "init", "alert"},
		diagnose.SaysLost:    {"offline", "Offline", "false", "0", "down", "lost", "LOST", "unavailable", "unreachable", "dead"},
		diagnose.SaysResting: {"sleeping", "sleep", "asleep", "DeepSleep", "disconnected"},
	}
	for says, list := range words {
		for _, word := range list {
			for _, form := range []string{"%s", " %s\n", "%q", `{"state":%q}`, `{"status":%q,"pid":1234,"time":1}`, `{"online":%q}`, `{"state":null,"status":%q}`} {
				payload := fmt.Sprintf(form, word)
				o, refused := decodeAvailability(t, payload)
				var key diagnose.Key
				if says == diagnose.SaysLost {
					key = diagnose.Key{Producer: diagnose.ProducerAvailability, Name: "lost"}
				}
				if refused != nil || o.Says != says || o.Key != key || o.CodeRaw != word || o.Source != "presence" {
					t.Errorf("%s: %+v (refused %+v), want %d and %+v", payload, o, refused, says, key)
				}
			}
		}
	}
}

func TestAvailabilityValues(t *testing.T) {
	for payload, want := range map[string]diagnose.Saying{
		`{"online":true}`: diagnose.SaysOnline, `{"online":false}`: diagnose.SaysLost, `{"state":1}`: diagnose.SaysOnline, `{"status":0}`: diagnose.SaysLost,
		`{"state":1,"status":0}`: diagnose.SaysOnline, `{"status":"idle","online":true}`: diagnose.SaysOnline, `{"state":"offline","online":true}`: diagnose.SaysLost,
		`{"state":{"x":1},"status":"up"}`: diagnose.SaysOnline, `{"state":"sleeping","online":false}`: diagnose.SaysResting,
	} {
		o, refused := decodeAvailability(t, payload)
		if refused != nil || o.Says != want {
			t.Errorf("%s says %d (refused %+v), want %d", payload, o.Says, refused, want)
		}
	}
	o, _ := decodeAvailability(t, `{"state":"offline","ts":1795341601,"ip":"192.0.2.4","msg":"gone"}`)
	if string(o.SourceTS) != "1795341601" || o.Facts.IP != "192.0.2.4" || o.Msg != "gone" {
		t.Errorf("what stands beside the word: %+v", o)
	}
}

func TestAvailabilityRefused(t *testing.T) {
	for payload, want := range map[string]diagnose.Refusal{
		`idle`: RefusedMalformed, `2`: RefusedMalformed, `1.0`: RefusedMalformed, `01`: RefusedMalformed, `-7`: RefusedMalformed, `null`: RefusedMalformed, `[]`: RefusedMalformed,
		`""`: RefusedMalformed, `on line`: RefusedMalformed, `{"state":"x"}`: RefusedMalformed, `{"state":1.0}`: RefusedMalformed, `{"state":[]}`: RefusedMalformed,
		`{"state":"online"`: RefusedMalformed, "{\"state\":\"\xff\"}": RefusedMalformed, `{}`: RefusedMalformed, `{"State":"online"}`: RefusedMalformed, `{"state":null}`: RefusedMalformed,
		`{"event":{"payload":{"state":"online"}}}`: RefusedMalformed, `{"state":"online","STATE":"offline"}`: RefusedMalformed,
	} {
		o, refused := decodeAvailability(t, payload)
		if refused == nil || refused.Reason != want {
			t.Errorf("%s: %+v, refused %+v; want %s", payload, o, refused, want)
		}
	}
}
