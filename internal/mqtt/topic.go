package mqtt

import (
	"fmt"
	"strings"
)

// deviceName is the name of the level that holds the device's id.
const deviceName = "device"

type levelKind uint8

const (
	levelLiteral levelKind = iota
	levelAny               // +, or a {name} other than {device}
	levelDevice            // {device}
	levelRest              // #
)

// topicLevel is one level of a source's topic.
type topicLevel struct {
	kind levelKind
	text string // of a literal
	name string // in braces
}

func (l topicLevel) filter() string {
	switch l.kind {
	case levelAny, levelDevice:
		return "+"
	case levelRest:
		return "#"
	}
	return l.text
}

// readLevelOfTopic reads one level; the text says what is wrong with it.
func readLevelOfTopic(part string) (topicLevel, string) {
	switch {
	case part == "+":
		return topicLevel{kind: levelAny}, ""
	case part == "#":
		return topicLevel{kind: levelRest}, ""
	case strings.ContainsAny(part, "+#"):
		return topicLevel{}, fmt.Sprintf("level %q mixes a wildcard with text (a wildcard stands alone in its level)", part)
	case !strings.ContainsAny(part, "{}"):
		return topicLevel{kind: levelLiteral, text: part}, ""
	}
	name, closed := strings.CutSuffix(strings.TrimPrefix(part, "{"), "}")
	if part[0] != '{' || !closed || !validSourceName(name) {
		return topicLevel{}, fmt.Sprintf("level %q is neither a literal nor a name in braces ({device} fills its level; names are letters, digits, dots, dashes and underscores)", part)
	}
	if name == deviceName {
		return topicLevel{kind: levelDevice, name: name}, ""
	}
	return topicLevel{kind: levelAny, name: name}, ""
}

// Match tells whether a message of the topic belongs to the source, and the
// device's id as it came: it may still be no valid id, an empty one included.
// As in MQTT 3.1.1 section 4.7, a last # matches its parent level too, and a
// filter that begins with a wildcard matches no topic that begins with $.
func (s *Source) Match(topic string) (device string, ok bool) {
	if strings.HasPrefix(topic, "$") && s.levels[0].kind != levelLiteral {
		return "", false
	}
	rest, more := topic, true
	for i := range s.levels {
		l := &s.levels[i]
		if l.kind == levelRest {
			return device, true
		}
		if !more {
			return "", false
		}
		var part string
		part, rest, more = strings.Cut(rest, "/")
		switch l.kind {
		case levelLiteral:
			if part != l.text {
				return "", false
			}
		case levelDevice:
			device = part
		}
	}
	if more {
		return "", false
	}
	return device, true
}

// Overlap tells whether an MQTT filter can match a topic at or under base:
// such a source would read what the agent itself publishes.
func Overlap(filter, base string) bool {
	return FiltersOverlap(filter, base+"/#")
}

// FiltersOverlap tells whether there is a topic that both MQTT filters match.
func FiltersOverlap(a, b string) bool {
	if hidden(a, b) || hidden(b, a) {
		return false
	}
	moreA, moreB := true, true
	for moreA && moreB {
		var levelA, levelB string
		levelA, a, moreA = strings.Cut(a, "/")
		levelB, b, moreB = strings.Cut(b, "/")
		switch {
		case levelA == "#" || levelB == "#":
			return true
		case levelA != levelB && levelA != "+" && levelB != "+":
			return false
		}
	}
	// A # matches its parent level, so x/# and x overlap.
	switch {
	case moreA:
		return a == "#"
	case moreB:
		return b == "#"
	}
	return true
}

// hidden tells that filter begins with a wildcard and other with a $: those
// two never meet.
func hidden(filter, other string) bool {
	return (strings.HasPrefix(filter, "+") || strings.HasPrefix(filter, "#")) && strings.HasPrefix(other, "$")
}
