package mqtt

import (
	"strings"
	"testing"
	"time"
)

func TestTimeOfThePayload(t *testing.T) {
	at := time.Date(2026, 11, 22, 10, 0, 1, 0, time.UTC)
	tests := []struct {
		ts, kept string
		want     time.Time
	}{
		{`1795341601`, `1795341601`, at},
		{`1795341601000`, `1795341601000`, at},
		{`1795341601.25`, `1795341601.25`, at.Add(250 * time.Millisecond)},
		{`"1795341601"`, `"1795341601"`, at},
		{`"2026-11-22T10:00:01Z"`, `"2026-11-22T10:00:01Z"`, at},
		{`"2026-11-22T18:00:01.250+08:00"`, `"2026-11-22T18:00:01.250+08:00"`, at.Add(250 * time.Millisecond)},
		{`0`, `0`, time.Unix(0, 0).UTC()},
		{`99999999999`, `99999999999`, time.Unix(99999999999, 0).UTC()},
		{`100000000000`, `100000000000`, time.UnixMilli(100000000000).UTC()},
		{`253402300799999`, `253402300799999`, time.UnixMilli(253402300799999).UTC()},
		{`253402300800000`, `253402300800000`, time.Time{}},
		{`-1`, `-1`, time.Time{}},
		{`1e400`, `1e400`, time.Time{}},
		{`"yesterday"`, `"yesterday"`, time.Time{}},
		{`"NaN"`, `"NaN"`, time.Time{}},
		{`"2026-13-22T10:00:01Z"`, `"2026-13-22T10:00:01Z"`, time.Time{}},
		{`"9999-12-31T23:59:59-23:59"`, `"9999-12-31T23:59:59-23:59"`, time.Time{}},
		{`"0000-01-01T00:00:00+23:59"`, `"0000-01-01T00:00:00+23:59"`, time.Time{}},
		{`"Infinity"`, `"Infinity"`, time.Time{}},
		{`null`, ``, time.Time{}},
		{`true`, ``, time.Time{}},
		{`{"s":1}`, ``, time.Time{}},
		{`"` + strings.Repeat("x", 64) + `"`, ``, time.Time{}},
	}
	for _, tt := range tests {
		o, refused := decodeDNA(t, `{"status":-7,"ts": `+tt.ts+` }`)
		if refused != nil {
			t.Errorf("ts %s is refused: %+v", tt.ts, refused)
			continue
		}
		if string(o.SourceTS) != tt.kept || (tt.kept == "") != (o.SourceTS == nil) || !o.Reported.Equal(tt.want) || o.Reported.IsZero() != tt.want.IsZero() {
			t.Errorf("ts %s: kept %s, time %s; want %s, %s", tt.ts, o.SourceTS, o.Reported, tt.kept, tt.want)
		}
	}
}
