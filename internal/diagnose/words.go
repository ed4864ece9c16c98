package diagnose

// Family groups codes by the part of the vendor's system that sends them.
type Family string

// The families of contract section 4.
const (
	FamilyFirmware     Family = "firmware"
	FamilyAccount      Family = "account"
	FamilyHome         Family = "home"
	FamilyAppSDK       Family = "appsdk"
	FamilyDNASDK       Family = "dnasdk"
	FamilyAppService   Family = "appservice"
	FamilyAvailability Family = "availability"
	FamilySite         Family = "site"
	FamilyAgent        Family = "agent"
	FamilyUnknown      Family = "unknown"
)

// Severity in the words of ITU-T X.733, and info.
type Severity string

// Severities, worst first.
const (
	Critical Severity = "critical"
	Major    Severity = "major"
	Minor    Severity = "minor"
	Warning  Severity = "warning"
	Info     Severity = "info"
)

// Rank orders severities: 0 is worst, and what is no severity comes last.
func (s Severity) Rank() int {
	switch s {
	case Critical:
		return 0
	case Major:
		return 1
	case Minor:
		return 2
	case Warning:
		return 3
	case Info:
		return 4
	}
	return 5
}

// Kind tells an event from a state.
type Kind string

const (
	// Transient: something went wrong once.
	Transient Kind = "transient"
	// Permanent: something is wrong until it is mended.
	Permanent Kind = "permanent"
)

// Audience is the reader whom a condition addresses first.
type Audience string

// The three readers.
const (
	User       Audience = "user"
	Technician Audience = "technician"
	Developer  Audience = "developer"
)

// Audiences lists the readers in the order of the contract.
func Audiences() []Audience { return []Audience{User, Technician, Developer} }

// Scope says whose fault a diagnosis tells.
type Scope string

// The scopes of contract section 4.
const (
	ScopeDevice Scope = "device"
	ScopeSite   Scope = "site"
	ScopeAgent  Scope = "agent"
)

// Status of a diagnosis.
type Status string

// suspected -> confirmed or undetermined -> cleared.
const (
	Suspected    Status = "suspected"
	Confirmed    Status = "confirmed"
	Undetermined Status = "undetermined"
	Cleared      Status = "cleared"
)

// Verdict on one cause.
type Verdict string

// Verdicts, strongest first.
const (
	VerdictConfirmed Verdict = "confirmed"
	VerdictLikely    Verdict = "likely"
	VerdictPossible  Verdict = "possible"
	VerdictExcluded  Verdict = "excluded"
)

// EvidenceVerdict is what one check says of the leading question.
type EvidenceVerdict string

// Three-valued, and not-applicable: missing is not zero, a timeout is not a
// refutation.
const (
	Supports      EvidenceVerdict = "supports"
	Refutes       EvidenceVerdict = "refutes"
	Inconclusive  EvidenceVerdict = "inconclusive"
	NotApplicable EvidenceVerdict = "not-applicable"
)

// ClearedBy says what ended a diagnosis.
type ClearedBy string

// The five ends.
const (
	BySignal     ClearedBy = "signal"
	ByQuiet      ClearedBy = "quiet"
	ByManual     ClearedBy = "manual"
	BySuperseded ClearedBy = "superseded"
	ByRetired    ClearedBy = "retired"
)

// Health of a device or the site, in a snapshot.
type Health string

// Contract section 4.
const (
	HealthOK        Health = "ok"
	HealthAttention Health = "attention"
	HealthFailed    Health = "failed"
	HealthUnknown   Health = "unknown"
)
