package mqtt

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"fieldmedic/internal/diagnose"
)

// wanted is what stands beside a payload of the corpus.
type wanted struct {
	Says     string          `json:"says"`
	Code     int32           `json:"code"`
	Name     string          `json:"name"`
	CodeRaw  string          `json:"code_raw"`
	Msg      string          `json:"msg"`
	Facts    diagnose.Facts  `json:"facts"`
	SourceTS json.RawMessage `json:"source_ts"`
	Reported time.Time       `json:"reported"`
	Refused  string          `json:"refused"`
}

// TestPayloadShapes reads the shapes that producers of the vendor's family are
// known to send; their values are made up.
func TestPayloadShapes(t *testing.T) {
	files, err := filepath.Glob("testdata/payloads/*")
	if err != nil {
		t.Fatal(err)
	}
	read, shapes := 0, map[string]bool{}
	for _, file := range files {
		ext := filepath.Ext(file)
		if ext == ".want" {
			continue
		}
		read++
		shapes[filepath.Base(file)[:2]] = true
		t.Run(strings.TrimSuffix(filepath.Base(file), ext), func(t *testing.T) {
			checkShape(t, file, strings.TrimSuffix(file, ext)+".want")
		})
	}
	if 2*read != len(files) || len(shapes) < 15 {
		t.Errorf("%d files with %d payloads of %d shapes; each payload needs its .want, and there are 15 shapes", len(files), read, len(shapes))
	}
}

func checkShape(t *testing.T, payloadFile, wantFile string) {
	payload, err := os.ReadFile(payloadFile)
	if err != nil {
		t.Fatal(err)
	}
	wantText, err := os.ReadFile(wantFile)
	if err != nil {
		t.Fatal(err)
	}
	var want wanted
	dec := json.NewDecoder(bytes.NewReader(wantText))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&want); err != nil {
		t.Fatal(err)
	}
	o, refused := testDecoder(t).Decode("devices/ac-7/status", payload, false, testTime)
	got := wanted{Code: o.Key.Code, Name: o.Key.Name, CodeRaw: o.CodeRaw, Msg: o.Msg, Facts: o.Facts, SourceTS: o.SourceTS, Reported: o.Reported}
	if refused != nil {
		got.Refused = string(refused.Reason)
	} else {
		got.Says = map[diagnose.Saying]string{diagnose.SaysFault: "fault", diagnose.SaysSuccess: "success"}[o.Says]
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s is read as\n%+v, want\n%+v", payloadFile, got, want)
	}
	if refused != nil && (strings.Contains(refused.Sample, "eyJ") || len(refused.Sample) > maxSample) {
		t.Errorf("sample %q", refused.Sample)
	}
}
