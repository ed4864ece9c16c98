package diagnose

import (
	"encoding/json"
	"time"
)

// Saying is what an observation means.
type Saying uint8

const (
	// SaysFault is a report of a code or a named error: something is wrong.
	SaysFault Saying = iota
	// SaysSuccess is code 0: a call to the device worked.
	SaysSuccess
	// SaysOnline is an availability message: the device is reachable.
	SaysOnline
	// SaysLost is an availability message: the device is gone without a goodbye.
	SaysLost
	// SaysResting is an availability message: asleep or cleanly disconnected,
	// which is neither a fault nor a proof of health.
	SaysResting
	// SaysRemoved is an empty payload: the device was removed at that source.
	SaysRemoved
	// SaysOver is the agent's word that one named fault of its own, the Key's,
	// is over: it disproves that condition and no other.
	SaysOver
)

// Producer is the name space a code belongs to: the same number means
// different things from different producers, so rules are keyed by both.
type Producer string

const (
	// ProducerDNA is the vendor's SDK family: firmware, account, home, APPSDK,
	// DNASDK and APPService codes share one list, and one number line.
	ProducerDNA Producer = "dna"
	// ProducerAvailability is what says online or offline and no code.
	ProducerAvailability Producer = "availability"
	// ProducerAgent is Fieldmedic itself: the agent is a device too.
	ProducerAgent Producer = "agent"
)

// Key is what a rule is matched by: a number, or a name where the producer
// sends one ("ENDPOINT_UNREACHABLE", "lost"). Exactly one of Code and Name is
// set, except for success, which no rule matches.
type Key struct {
	Producer Producer
	Code     int32
	Name     string
}

// Facts are the payload's own words about the device. All of them are claims
// of the sender: evidence, never a target for a check. Empty means not said.
type Facts struct {
	DID   string `json:"did,omitempty"`
	PID   string `json:"pid,omitempty"`
	MAC   string `json:"mac,omitempty"`
	IP    string `json:"ip,omitempty"`
	Model string `json:"model,omitempty"`
	FW    string `json:"fw,omitempty"`
}

// Observation is one message, read: device D said S, with what else the
// payload told, received at At.
type Observation struct {
	// Device is the id from the topic, as it came: 1 to 128 bytes of UTF-8;
	// empty for what the agent says of itself and of the site.
	Device string
	// Source is the configured name of the source that the message came by.
	Source string
	// At is the time of receipt; every timer of the engine runs on it.
	At time.Time
	// Says what the message means; Key is set for SaysFault and SaysLost.
	Says Saying
	Key  Key
	// CodeRaw is the code or name as it came ("0xfff9", "\"-7\"" without its
	// quotes, "[Errno -7] ..." cut to "-7"): at most 64 bytes.
	CodeRaw string
	// Msg is the vendor's text: control and bidi characters out, secrets
	// masked, 256 runes at most.
	Msg   string
	Facts Facts
	// SourceTS is the payload's own ts as it came (a JSON number or string),
	// or nil.
	SourceTS json.RawMessage
	// Reported is SourceTS read as a time, or zero when there is none or it
	// cannot be read. It may be far off: see Skew.
	Reported time.Time
	// Retained marks the last known state met at subscribing: no report.
	Retained bool
	// Repeats are further messages like this one that were merged into it while
	// they waited: they count as reports, and as nothing else.
	Repeats int64
}

// reports is how many messages it stands for.
func (o *Observation) reports() int64 { return 1 + max(0, o.Repeats) }

// MaxSkew is how far a payload's own time may be off the time of receipt and
// still be believed (contract section 3).
const MaxSkew = 24 * time.Hour

// Skew is the payload's time minus the time of receipt, and whether the
// payload had a time at all.
func (o *Observation) Skew() (time.Duration, bool) {
	if o.Reported.IsZero() {
		return 0, false
	}
	return o.Reported.Sub(o.At), true
}

// When is the time the report speaks of: the payload's own, where it is
// believable and not in the future, else the time of receipt.
func (o *Observation) When() time.Time {
	skew, ok := o.Skew()
	if !ok || skew > 0 || skew < -MaxSkew {
		return o.At
	}
	return o.Reported
}
