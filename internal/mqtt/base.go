package mqtt

import (
	"errors"
	"fmt"
	"strings"
)

// maxBase leaves room for the rest of a topic: gateway and device, each up to
// 128 bytes and percent-encoded.
const maxBase = 100

// CheckBase tells what is wrong with the topic that all published topics lie
// under, or nil: levels that are not empty, without wildcards and control
// characters, not beginning with $ (MQTT 3.1.1, 4.7.2), 100 bytes at most.
func CheckBase(base string) error {
	const right = "(as diagnostics, or site/diagnostics)"
	switch {
	case base == "" || len(base) > maxBase:
		return fmt.Errorf("%d bytes (1 to %d, %s)", len(base), maxBase, strings.Trim(right, "()"))
	case strings.HasPrefix(base, "$"):
		return errors.New("topics that begin with $ are the broker's " + right)
	}
	for level := range strings.SplitSeq(base, "/") {
		if !ValidID(level) {
			return fmt.Errorf("%q has a level that is empty or has wildcards or control characters %s", base, right)
		}
	}
	return nil
}
