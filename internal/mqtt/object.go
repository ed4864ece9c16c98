package mqtt

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"fieldmedic/internal/diagnose"
)

// maxDepth is how deep JSON may nest; the outermost object counts as 1.
const maxDepth = 16

// value is one JSON value. The zero value is an absent one.
type value struct {
	kind gjson.Type
	raw  string
	str  string // of a string, unescaped
}

// present tells that the key was there, with something other than null.
func (v *value) present() bool { return v.raw != "" && v.kind != gjson.Null }

// object is what is read of one JSON object, whatever the format.
type object struct {
	status, err              value // the code, or an availability word
	state, online            value // availability words
	event, payload, typ      value // the cloud's form
	msg, message, ts         value
	did, pid, mac, ip, model value
	fw                       value
}

// slot is where a key's value belongs, or nil when the key is not read. Keys
// are matched to the letter.
func (o *object) slot(key string) *value {
	switch key {
	case "status":
		return &o.status
	case "error":
		return &o.err
	case "state":
		return &o.state
	case "online":
		return &o.online
	case "event":
		return &o.event
	case "payload":
		return &o.payload
	case "type":
		return &o.typ
	case "msg":
		return &o.msg
	case "message":
		return &o.message
	case "ts":
		return &o.ts
	case "did":
		return &o.did
	case "pid":
		return &o.pid
	case "mac":
		return &o.mac
	case "ip":
		return &o.ip
	case "model":
		return &o.model
	case "fw":
		return &o.fw
	}
	return nil
}

// readObject reads one level of valid JSON. Keys that repeat, to the letter
// or but for their case, are refused: of {"status":-7,"STATUS":0} one reader
// sees a fault and another none.
func readObject(raw string, o *object) diagnose.Refusal {
	var keys keySet
	repeated := false
	gjson.Parse(raw).ForEach(func(key, v gjson.Result) bool {
		if !keys.add(key.Str) {
			repeated = true
			return false
		}
		if slot := o.slot(key.Str); slot != nil {
			*slot = value{kind: v.Type, raw: v.Raw, str: v.Str}
		}
		return true
	})
	if repeated {
		return RefusedMalformed
	}
	return ""
}

// isObject tells that the value is a JSON object.
func (v *value) isObject() bool { return v.kind == gjson.JSON && strings.HasPrefix(v.raw, "{") }

// checkJSON refuses what nests too deep before anything recurses into it, and
// what is no valid JSON.
func checkJSON(text string) diagnose.Refusal {
	if deeperThan(text, maxDepth) {
		return RefusedTooDeep
	}
	if !gjson.Valid(text) {
		return RefusedMalformed
	}
	return ""
}

// deeperThan tells whether braces and brackets outside of strings nest deeper
// than limit. Mostly there are too few of them for it, which is quick to see.
func deeperThan(text string, limit int) bool {
	if strings.Count(text, "{")+strings.Count(text, "[") <= limit {
		return false
	}
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > limit {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// fewKeys is how many keys are compared with each other before a map pays.
const fewKeys = 16

// keySet holds the keys of one object, equal but for their case or not.
type keySet struct {
	few  [fewKeys]string
	n    int
	many map[string]struct{}
}

// add answers false when the key, in whatever case, is there already.
func (k *keySet) add(key string) bool {
	if k.n < fewKeys {
		for _, other := range k.few[:k.n] {
			if strings.EqualFold(key, other) {
				return false
			}
		}
		k.few[k.n] = key
		k.n++
		return true
	}
	if k.many == nil {
		k.many = make(map[string]struct{}, 2*fewKeys)
		for _, other := range k.few {
			k.many[folded(other)] = struct{}{}
		}
	}
	f := folded(key)
	if _, there := k.many[f]; there {
		return false
	}
	k.many[f] = struct{}{}
	return true
}

// folded writes each character as the least of those that equal it but for
// case (Unicode simple folding, as strings.EqualFold has it).
func folded(s string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
			least = min(least, other)
		}
		return least
	}, s)
}

// runesAtMost cuts s to n runes.
func runesAtMost(s string, n int) string {
	if len(s) <= n || utf8.RuneCountInString(s) <= n {
		return s
	}
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}
