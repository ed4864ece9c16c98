package diagnose

import "time"

// Delivery is one message handed to the loop: exactly one of Observation,
// Refused and Request is set.
type Delivery struct {
	Observation *Observation
	Refused     *RefusedInput
	Request     *Request
	// Ack acknowledges the message to the broker. The loop calls it at most
	// once, after what the message changed is durable, or never where it cannot
	// be. Messages of one device are acknowledged in the order of delivery,
	// others may overtake each other. It must not block. Nil where there is
	// nothing to acknowledge.
	Ack func()
	// Respond answers a Request; nil otherwise. It must not block.
	Respond func(Response)
	// Critical: the message reports a fault of critical severity; it is decided
	// before others that wait, unless its device has one waiting.
	Critical bool
	// Droppable: nobody sends the message again (QoS 0), and where there is no
	// room it may be merged with one like it, or dropped and counted.
	Droppable bool
}

// RefusedInput is input that changes nothing: it is counted by reason and
// shown among the first samples.
type RefusedInput struct {
	At     time.Time
	Topic  string
	Source string
	Reason Refusal
	// Sample is the start of the payload, secrets masked, 200 bytes at most.
	Sample string
	// Bytes is the payload's whole length.
	Bytes int
}

// Publication tells the publishing side what the loop has made durable.
type Publication struct {
	// Seq is the highest sequence number in the log; events up to it may be
	// published.
	Seq int64
	// Snapshots that differ now. A later one of the same device replaces an
	// earlier one that is not out yet.
	Snapshots []Snapshot
	// Removed names devices whose topic is emptied after their last snapshot.
	Removed []string
}

// LogEntry is one row of the append-only log of changes: an event, encoded
// once, as it is published.
type LogEntry struct {
	Seq       int64
	At        time.Time
	Device    string
	Condition string
	Type      ChangeType
	// Severity of the diagnosis after the change; when an outbox is full,
	// critical ones are given up last.
	Severity Severity
	EventID  string
	Body     []byte
}

// Problem is what the engine keeps of one identity (device, condition),
// through all its occurrences.
type Problem struct {
	Diagnosis Diagnosis `json:"diagnosis"`
	// Openings are the times of the latest onsets, oldest first: what
	// flapping is judged by.
	Openings []Stamp `json:"openings,omitempty"`
	// Spaced counts the live reports of this occurrence that count as evidence
	// of their own (Confirm.Spacing), the newest of them at SpacedAt; Recent
	// are the times of the last ones, as many as confirmation looks at.
	Spaced   int     `json:"spaced,omitempty"`
	SpacedAt Stamp   `json:"spaced_at"`
	Recent   []Stamp `json:"recent,omitempty"`
	// Lasting: repetition or time confirmed this occurrence, whatever checks
	// say.
	Lasting bool `json:"lasting,omitempty"`
	// Skew is how far the newest report's clock was off, in whole minutes: a
	// ranking made from it must come out the same after a restart.
	Skew time.Duration `json:"skew,omitempty"`
	// Told: a raised event of this occurrence was sent.
	Told bool `json:"told,omitempty"`
	// Pending is the first report of a condition that is held back: it was
	// acknowledged, so it must outlive a restart.
	Pending *Observation `json:"pending,omitempty"`
	// Faulty: the last word was a fault, not a success.
	Faulty bool `json:"faulty,omitempty"`
}

// DeviceRecord is what is kept of one device, and restored after a restart.
type DeviceRecord struct {
	ID string `json:"id"`
	// Sources that have the device, by name.
	Sources   []string `json:"sources,omitempty"`
	LastHeard Stamp    `json:"last_heard"`
	UpdatedAt Stamp    `json:"updated_at"`
	Facts     Facts    `json:"facts"`
	// Problems, open ones and those that ended.
	Problems []Problem `json:"-"`
	// Gone are conditions of the device that are not kept any more.
	Gone []string `json:"-"`
}

// Batch is what one turn of the loop makes durable, in one transaction.
type Batch struct {
	Entries []LogEntry
	// Devices that changed; of their Problems, those that changed.
	Devices []DeviceRecord
	// Removed devices lose their record and problems; the log keeps its rows.
	Removed []string
	// SiteWide decisions that changed, by condition; nil values are deleted.
	SiteWide map[string]*SiteDecisions
}

// Empty tells that there is nothing to make durable.
func (b *Batch) Empty() bool {
	return len(b.Entries) == 0 && len(b.Devices) == 0 && len(b.Removed) == 0 && len(b.SiteWide) == 0
}

// SiteDecisions are a person's decisions with scope "site": they hold for one
// condition on every device.
type SiteDecisions struct {
	Acknowledged *Decision `json:"acknowledged,omitempty"`
	Ignored      *Decision `json:"ignored,omitempty"`
}

// Restored is what the store gives back at the start.
type Restored struct {
	// Epoch is the store's uuid; Seq the highest sequence number given.
	Epoch    string
	Seq      int64
	Devices  []DeviceRecord
	SiteWide map[string]*SiteDecisions
}
