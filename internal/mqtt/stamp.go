package mqtt

import (
	"encoding/json"
	"math"
	"strconv"
	"time"

	"github.com/tidwall/gjson"
)

const (
	// maxTS is the longest ts that is kept, in bytes of JSON.
	maxTS = 64
	// firstMilliseconds tells milliseconds from seconds since 1970: as seconds
	// it is the year 5138, as milliseconds March 1973.
	firstMilliseconds = 1e11
	// lastMilliseconds is the end of the year 9999, the last that RFC 3339 can
	// write.
	lastMilliseconds = 253402300799999
)

// readTS answers a payload's own ts as it came and as a time. The time is zero
// when it cannot be read; the text is nil when it is no number or string, or
// longer than anybody's time.
func readTS(v *value) (json.RawMessage, time.Time) {
	if len(v.raw) > maxTS || v.kind != gjson.Number && v.kind != gjson.String {
		return nil, time.Time{}
	}
	text := v.raw
	if v.kind == gjson.String {
		text = v.str
	}
	return json.RawMessage(v.raw), parseTime(text)
}

// parseTime reads seconds or milliseconds since 1970, or RFC 3339.
func parseTime(text string) time.Time {
	if len(text) > len("2006") && text[len("2006")] == '-' {
		t, err := time.Parse(time.RFC3339Nano, text)
		if err != nil || t.UTC().Year() < 1 || t.UTC().Year() > 9999 { // an offset can lead out of what RFC 3339 can write
			return time.Time{}
		}
		return t.UTC()
	}
	f, err := strconv.ParseFloat(text, 64) // exact for integers below 2^53
	if err != nil {
		return time.Time{}
	}
	return fromEpoch(f)
}

func fromEpoch(f float64) time.Time {
	if math.IsNaN(f) || f < 0 {
		return time.Time{}
	}
	if f < firstMilliseconds {
		f *= 1000
	}
	if f > lastMilliseconds {
		return time.Time{}
	}
	return time.UnixMilli(int64(math.Round(f))).UTC()
}
