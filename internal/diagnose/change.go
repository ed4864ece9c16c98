package diagnose

import "time"

// Schema is the version of the published JSON.
const Schema = "1"

// ChangeType is the kind of one transition.
type ChangeType string

// Event types of contract section 4.
const (
	Raised  ChangeType = "raised"
	Changed ChangeType = "changed"
	Cleaned ChangeType = "cleared"
	Dropped ChangeType = "dropped"
)

// Change is one transition of one diagnosis: the log record, and the event's
// body.
type Change struct {
	Type ChangeType
	At   time.Time
	// Diagnosis as it is after the change.
	Diagnosis Diagnosis
	// ClockSuspect: the gateway's clock was not to be believed at the time.
	ClockSuspect bool
}

// Event is a Change as published: contract section 4.
type Event struct {
	Schema    string     `json:"schema"`
	EventID   string     `json:"event_id,omitempty"`
	Seq       int64      `json:"seq"`
	Epoch     string     `json:"epoch,omitempty"`
	Type      ChangeType `json:"type"`
	At        Stamp      `json:"at"`
	FromSeq   int64      `json:"from_seq,omitempty"`
	ToSeq     int64      `json:"to_seq,omitempty"`
	Diagnosis *Diagnosis `json:"diagnosis,omitempty"`
	// ClockSuspect: the gateway's clock jumped, or was never set, when this was
	// decided; its times may be wrong (added).
	ClockSuspect bool `json:"clock_suspect,omitempty"`
}

// Outcome is what one step of the engine led to.
type Outcome struct {
	Changes []Change
	// Touched names the devices whose snapshot differs now, changes or not.
	Touched []string
	// Kept names devices whose record differs while their snapshot does not.
	Kept []string
	// Removed names devices that are gone: their topic is emptied after the
	// last snapshot.
	Removed []string
	// Last holds the last snapshot of each removed device.
	Last []Snapshot
	// SiteWide decisions that changed, by condition; nil where one was lifted.
	SiteWide map[string]*SiteDecisions
	// Checks that would tell which cause it is.
	Checks []Check
	// Refused is why the observation was not taken, or empty.
	Refused Refusal
	// NoPlace names the devices of an inventory for which there is no room.
	NoPlace []string
}

// Refusal is a named reason for input that changes nothing.
type Refusal string

const (
	// RefusedTooManyDevices: 10,000 devices are known and this one is not.
	RefusedTooManyDevices Refusal = "too-many-devices"
	// RefusedTooManyConditions: the device has as many conditions as are kept
	// of one, and this is another.
	RefusedTooManyConditions Refusal = "too-many-conditions"
)

// Check is one probe to run.
type Check struct {
	// Diagnosis it is for, by id.
	Diagnosis string
	// Kind: hello, dns, ...; Device the probe is to look at.
	Kind   string
	Device string
}

// Hypothesis is "cause would explain this symptom", with the checks that
// would tell.
type Hypothesis struct {
	Cause   string
	Action  Action
	Verdict Verdict
	Reason  string
	Checks  []string
}
