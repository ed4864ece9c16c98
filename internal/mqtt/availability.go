package mqtt

import (
	"strings"

	"github.com/tidwall/gjson"

	"fieldmedic/internal/diagnose"
)

// nameLost is the key of a device that is gone; rules match it by name.
const nameLost = "lost"

// maxWord is longer than any availability word.
const maxWord = 16

// sayingOf reads one word in any case. The words are those of Zigbee2MQTT,
// Tasmota, Shelly, ESPHome, thin-edge.io and of Homie's $state, whose clean
// disconnect and sleep are neither a loss nor a proof of health. A number is
// no word, except for 1 and 0.
func sayingOf(text string) (says diagnose.Saying, ok bool) {
	if len(text) > maxWord {
		return 0, false
	}
	switch strings.ToLower(text) {
	case "online", "true", "1", "up", "ready", "ok", "available", "connected", "reachable", "alive", "init", "alert":
		return diagnose.SaysOnline, true
	case "offline", "false", "0", "down", "lost", "unavailable", "unreachable", "dead":
		return diagnose.SaysLost, true
	case "sleeping", "sleep", "asleep", "deepsleep", "disconnected":
		return diagnose.SaysResting, true
	}
	return 0, false
}

// readWord reads a payload that is one word.
func readWord(text string, o *diagnose.Observation) diagnose.Refusal {
	says, ok := sayingOf(text)
	if !ok {
		return RefusedMalformed
	}
	o.Says, o.CodeRaw = says, text
	if says == diagnose.SaysLost {
		o.Key = diagnose.Key{Producer: diagnose.ProducerAvailability, Name: nameLost}
	}
	return ""
}

// readAvailability reads the first of state, status and online that holds a
// word. Others may stand beside it and mean something else: the vendor's
// cloud sends state 1 for online next to status 0 for success.
func readAvailability(top *object, o *diagnose.Observation) diagnose.Refusal {
	reason := RefusedMalformed
	for _, v := range [...]*value{&top.state, &top.status, &top.online} {
		if !v.present() {
			continue
		}
		if reason = readWord(wordOf(v), o); reason == "" {
			describe(top, o)
			return ""
		}
	}
	return reason
}

// wordOf is the text of a value that may be a word; of an object or list,
// nothing.
func wordOf(v *value) string {
	switch v.kind {
	case gjson.String:
		return v.str
	case gjson.JSON:
		return ""
	}
	return v.raw
}
