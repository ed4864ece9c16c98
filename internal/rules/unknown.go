package rules

import (
	"hash/fnv"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"weak"

	"fieldmedic/internal/diagnose"
)

// What no rule knows is told all the same (contract section 3): by a rule of
// the pack "unknown" whose condition is completed with the number or the name.
const (
	unknownCode  = "unknown-code"
	unknownError = "unknown-error"
)

func templates() []string { return []string{unknownCode, unknownError} }

func isTemplate(condition string) bool { return condition == unknownCode || condition == unknownError }

// completions are the rules of unknown codes and names that somebody holds.
// A rule is the same rule where the pointers are equal, so a second look-up of
// a name must answer the first's pointer for as long as it is in use. Nothing
// keeps a rule here that nobody holds any more: ten thousand devices that
// send random numbers cost no memory that stays.
type completions struct {
	mu   sync.Mutex
	live map[string]weak.Pointer[diagnose.Rule]
}

func newCompletions() *completions {
	return &completions{live: map[string]weak.Pointer[diagnose.Rule]{}}
}

// rule is template's rule under the completed name condition.
func (c *completions) rule(condition []byte, template *diagnose.Rule) *diagnose.Rule {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.live[string(condition)].Value(); r != nil {
		return r
	}
	r := new(*template)
	r.Condition = string(condition)
	c.live[r.Condition] = weak.Make(r)
	runtime.AddCleanup(r, c.forget, r.Condition)
	return r
}

// forget drops a name after its rule has gone, unless a new one was made.
func (c *completions) forget(condition string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.live[condition].Value() == nil {
		delete(c.live, condition)
	}
}

// codeCondition appends the condition of an unknown code: its digits.
func codeCondition(b []byte, code int32) []byte {
	b = append(append(b, unknownCode...), '-')
	n := int64(code)
	return strconv.AppendInt(b, max(n, -n), 10)
}

// nameCondition appends the condition of an unknown name: the name in
// kebab-case. A name that does not fit, or of which too little is left, keeps
// apart from others by a checksum.
func nameCondition(b []byte, name string) []byte {
	b = append(append(b, unknownError...), '-')
	start := len(b)
	whole := true
	dash := false
	for _, r := range name {
		var ch byte
		switch {
		case r >= 'A' && r <= 'Z':
			ch = byte(r) - 'A' + 'a'
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			ch = byte(r)
		default:
			whole = whole && r < 0x80
			dash = len(b) > start
			continue
		}
		if dash {
			b = append(b, '-')
			dash = false
		}
		b = append(b, ch)
	}
	const sum = 1 + 8 // "-" and 32 bits in hex
	if whole && len(b) > start && len(b) <= maxName {
		return b
	}
	b = b[:min(len(b), maxName-sum)]
	for b[len(b)-1] == '-' {
		b = b[:len(b)-1]
	}
	h := fnv.New32a()
	// Writing to a hash cannot fail.
	_, _ = h.Write([]byte(name))
	b = append(b, '-')
	digits := strconv.FormatUint(uint64(h.Sum32()), 16)
	return append(append(b, strings.Repeat("0", 8-len(digits))...), digits...)
}

// templateOf is the template that a completed condition comes from, or "".
func templateOf(condition string) string {
	if digits, ok := strings.CutPrefix(condition, unknownCode+"-"); ok {
		n, err := strconv.ParseInt(digits, 10, 64)
		if err == nil && n >= 0 && n <= 1<<31 && strconv.FormatInt(n, 10) == digits {
			return unknownCode
		}
		return ""
	}
	if _, ok := strings.CutPrefix(condition, unknownError+"-"); ok && kebab(condition) {
		return unknownError
	}
	return ""
}
