package mqtt

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unsafe"

	"fieldmedic/internal/diagnose"
)

var testTime = time.Date(2026, 11, 22, 10, 0, 2, 0, time.UTC)

func mustSource(t testing.TB, name, topic string, format Format) *Source {
	t.Helper()
	s, err := NewSource(name, topic, format, 0)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func testDecoder(t testing.TB) *Decoder {
	t.Helper()
	return NewDecoder([]*Source{
		mustSource(t, "status", "devices/{device}/status", FormatDNA),
		mustSource(t, "presence", "devices/{device}/availability", FormatAvailability),
	})
}

func decodeDNA(t testing.TB, payload string) (diagnose.Observation, *diagnose.RefusedInput) {
	t.Helper()
	return testDecoder(t).Decode("devices/ac-7/status", []byte(payload), false, testTime)
}

func dnaKey(code int32) diagnose.Key {
	return diagnose.Key{Producer: diagnose.ProducerDNA, Code: code}
}

func TestEncodingsOfOneCode(t *testing.T) {
	tests := []struct {
		text string // as it stands in the payload: bare, and in status and error
		code int32
		raw  string
	}{
		{`-7`, -7, "-7"},
		{`"-7"`, -7, "-7"},
		{`65529`, -7, "65529"},
		{`"65529"`, -7, "65529"},
		{`4294967289`, -7, "4294967289"},
		{`"4294967289"`, -7, "4294967289"},
		{`"0xfff9"`, -7, "0xfff9"},
		{`"0xFFF9"`, -7, "0xFFF9"},
		{`"0xfffffff9"`, -7, "0xfffffff9"},
		{`"[Errno -7] Control key expired"`, -7, "-7"},
		{`"[Errno -7]"`, -7, "-7"},
		{`"[Errno 65529] x"`, -7, "65529"},
		{`4013`, 4013, "4013"},
		{`-4013`, -4013, "-4013"},
		{`10011`, 10011, "10011"},
		{`32767`, 32767, "32767"},
		{`32768`, -32768, "32768"},
		{`65535`, -1, "65535"},
		{`65536`, 65536, "65536"},
		{`2147483647`, 2147483647, "2147483647"},
		{`2147483648`, -2147483648, "2147483648"},
		{`4294967295`, -1, "4294967295"},
		{`-2147483648`, -2147483648, "-2147483648"},
		{`-490010`, -490010, "-490010"},
		{`-49010`, -49010, "-49010"},
		{`"0x10fad"`, 4013 + 65536, "0x10fad"},
		{`"0xfad"`, 4013, "0xfad"},
	}
	for _, tt := range tests {
		for _, form := range []string{
			`%s`, " %s\r\n", `{"status":%s}`, `{"error":%s}`, `{"status":0,"error":%s}`, `{"error":0,"status":%s}`,
			`{"status":null,"error":%s}`, `{"status":%[1]s,"error":%[1]s}`, `{"event":{"payload":{"status":%s}}}`, `{"st\u0061tus":%s}`,
		} {
			payload := fmt.Sprintf(form, tt.text)
			o, refused := decodeDNA(t, payload)
			if refused != nil {
				t.Errorf("%s is refused as %s", payload, refused.Reason)
				continue
			}
			if o.Says != diagnose.SaysFault || o.Key != dnaKey(tt.code) || o.CodeRaw != tt.raw {
				t.Errorf("%s is read as %+v, raw %q; want code %d, raw %q", payload, o.Key, o.CodeRaw, tt.code, tt.raw)
			}
		}
	}
}

func TestRawTextWithoutQuotes(t *testing.T) {
	for payload, want := range map[string]int32{"0xfff9": -7, "[Errno -4000] Network timeout: [x]": -4000, "-7": -7} {
		o, refused := decodeDNA(t, payload)
		if refused != nil || o.Key.Code != want {
			t.Errorf("%s is read as %d (%+v), want %d", payload, o.Key.Code, refused, want)
		}
	}
	o, _ := decodeDNA(t, "[Errno -4000] Network timeout: token=abc [x]")
	if o.Msg != "Network timeout: token=*** [x]" {
		t.Errorf("message of the exception: %q", o.Msg)
	}
}

func TestSuccess(t *testing.T) {
	for _, payload := range []string{
		`0`, `"0"`, `"0x0000"`, `{"status":0}`, `{"error":"0"}`, `{"status":0,"error":null}`, `{"status":null,"error":0}`,
		`{"event":{"payload":{"error":0}}}`, `{"status":0,"event":"x"}`, `{"status":0,"event":{"payload":[]}}`, `{"status":0,"event":{"payload":{"type":"success"}}}`,
	} {
		o, refused := decodeDNA(t, payload)
		if refused != nil || o.Says != diagnose.SaysSuccess || o.Key != (diagnose.Key{}) || o.CodeRaw == "" {
			t.Errorf("%s: %+v, refused %+v", payload, o, refused)
		}
	}
}

func TestWhichCodeCounts(t *testing.T) {
	tests := map[string]diagnose.Key{
		`{"status":-7,"error":-3}`:                                               dnaKey(-7),
		`{"error":-3,"status":-7}`:                                               dnaKey(-7),
		`{"error":-3,"status":0}`:                                                dnaKey(-3),
		`{"error":null,"status":-7}`:                                             dnaKey(-7),
		`{"status":-7,"event":{"payload":{"status":-3}}}`:                        dnaKey(-7),
		`{"status":0,"event":{"payload":{"error":-3}}}`:                          dnaKey(-3),
		`{"event":{"payload":{"status":-3,"type":"DEVICE_RESET"}}}`:              dnaKey(-3),
		`{"event":{"payload":{"type":"DEVICE_RESET"}}}`:                          {Producer: diagnose.ProducerDNA, Name: "DEVICE_RESET"},
		`{"event":{"payload":{"status":0,"type":"DEVICE_RESET"}}}`:               {Producer: diagnose.ProducerDNA, Name: "DEVICE_RESET"},
		`{"status":-7,"data":{"status":0,"STATUS":1},"list":[{"a":1,"a":2}]}`:    dnaKey(-7),
		`{"status":-7,"event":{"status":0,"header":{"x":1,"X":2}},"type":"A_B"}`: dnaKey(-7),
	}
	for payload, want := range tests {
		o, refused := decodeDNA(t, payload)
		if refused != nil || o.Key != want || o.Says != diagnose.SaysFault {
			t.Errorf("%s: %+v (refused %+v), want %+v", payload, o.Key, refused, want)
		}
	}
}

func TestRefusedForms(t *testing.T) {
	var many strings.Builder
	for i := range 40 {
		fmt.Fprintf(&many, `"k%d":%d,`, i, i)
	}
	tests := []struct {
		reason   diagnose.Refusal
		payloads []string
	}{
		{RefusedMalformed, []string{
			`1.5`, `-7.0`, `1e3`, `-1E2`, `true`, `false`, `null`, `NaN`, `-Infinity`, `[]`, `[-7]`, `[{"status":-7}]`, `007`, `-07`, `00`, `-0`, `+7`, `"+7"`, `"-0"`,
			`4294967296`, `-2147483649`, `99999999999999999999`, `"1e3"`, `"1.5"`, `" -7"`, `"-7 "`, `""`, `"-"`, `-`, `"0x"`, `"0x1fffffff9"`, `"-0x7"`, `"0xfg"`, `"７"`,
			`-7 -7`, `-7,`, `{"status":-7}}`, `{"status":-7} {}`, `{"status":-7`, `{"status":-7,}`, `{"status":-07}`, `{"status":+7}`, `{'status':-7}`, `{"status":NaN}`, `{`, `"-7`, `"\x"`,
			`{"status":1.5}`, `{"status":1e3}`, `{"status":true}`, `{"status":[-7]}`, `{"status":{"code":-7}}`, `{"status":"online"}`, `{"status":""}`, `{"status":"007"}`,
			`{"status":-0}`, `{"status":4294967296}`, `{"error":-2147483649}`, `{"status":-7,"error":false}`, `{"status":-7,"error":"text"}`, `{"event":{"payload":{"status":"x"}}}`,
			`online`, `offline`, `<html>504</html>`, `[Errno x] y`, `[Errno -07] y`, `[Errno -7`, `[errno -7] x`, `[Errno  -7] x`, `x [Errno -7] y`, " \r\n\t", "\ufeff-7", "-7\x00",
			"\xff", "{\"status\":-7,\"msg\":\"\xc3\x28\"}", "{\"status\":-7,\"msg\":\"\xed\xa0\x80\"}", "{\"status\":-7,\"msg\":\"a\nb\"}",
		}},
		{RefusedMalformed, []string{
			`{}`, `{"state":"online"}`, `{"code":-7}`, `{"STATUS":-7}`, `{"status":null}`, `{"status":null,"error":null}`, `{"data":{"status":-7}}`, `{"event":{"status":-7}}`,
			`{"event":{"payload":{"change":{"status":-7}}}}`, `{"event":[{"payload":{"status":-7}}]}`, `{"type":"DEVICE_RESET"}`, `{"event":{"payload":{"type":"device reset"}}}`,
			`{"event":{"payload":{"type":"` + strings.Repeat("A", 65) + `"}}}`, `{"event":{"payload":{"type":5}}}`, `{"payload":{"status":-7}}`,
		}},
		{RefusedMalformed, []string{
			`{"status":-7,"STATUS":0}`, `{"status":-7,"status":-7}`, `{"Error":0,"error":-7}`, `{"status":-7,"msg":"a","Msg":"b"}`, `{"status":-7,"x":1,"X":1}`,
			`{"status":-7,"st\u0061tus":0}`, `{"status":-7,"ſtatus":0}`, `{"event":{"payload":{"status":-7,"Status":0}}}`, `{"event":{"payload":{"status":-7},"Payload":{}}}`,
			`{"event":{"payload":{"status":-7}},"EVENT":{}}`, `{"status":-7,"event":{"payload":{"a":1,"a":1}}}`,
			`{` + many.String() + `"status":-7,"K39":0}`, `{` + many.String() + `"status":-7,"k0":0}`, `{` + many.String() + "\"status\":-7,\"\u212a3\":0}", // the Kelvin sign folds to k
		}},
		{RefusedTooDeep, []string{
			`{"status":-7,"data":` + strings.Repeat("[", 16) + strings.Repeat("]", 16) + `}`, strings.Repeat("[", 17), strings.Repeat(`{"a":`, 60000/5), strings.Repeat(`[`, maxPayload),
		}},
		{RefusedTooLarge, []string{strings.Repeat("1", maxPayload+1), `{"status":-7}` + strings.Repeat(" ", maxPayload)}},
	}
	for _, tt := range tests {
		for _, payload := range tt.payloads {
			o, refused := decodeDNA(t, payload)
			short := payload[:min(len(payload), 80)]
			switch {
			case refused == nil:
				t.Errorf("%q is read as %+v, want refused as %s", short, o, tt.reason)
			case refused.Reason != tt.reason:
				t.Errorf("%q is refused as %s, want %s", short, refused.Reason, tt.reason)
			case !reflect.DeepEqual(o, diagnose.Observation{}):
				t.Errorf("%q is refused, and yet %+v", short, o)
			}
		}
	}
}

func TestLimitsAreReached(t *testing.T) {
	deep := `{"status":-7,"data":` + strings.Repeat("[", 15) + strings.Repeat("]", 15) + `}`
	brackets := `{"status":-7,"msg":"` + strings.Repeat(`[{\"`, 100) + `"}`
	wide := `{"status":-7,"data":[` + strings.Repeat("[],", 500) + `0]}`
	large := `{"status":-7,"data":"` + strings.Repeat("x", maxPayload-len(`{"status":-7,"data":""}`)) + `"}`
	for _, payload := range []string{deep, brackets, wide, large} {
		if o, refused := decodeDNA(t, payload); refused != nil || o.Key.Code != -7 {
			t.Errorf("%.40s... of %d bytes: %+v", payload, len(payload), refused)
		}
	}
}

func TestFirstSourceThatFits(t *testing.T) {
	d := NewDecoder([]*Source{
		mustSource(t, "special", "a/{device}/status", FormatAvailability),
		mustSource(t, "general", "{site}/{device}/#", FormatDNA),
	})
	for topic, want := range map[string]string{"a/x/status": "special", "b/x/status": "general", "a/x": "general", "a/x/y/z": "general"} {
		payload := map[string]string{"special": "online", "general": "-7"}[want]
		o, refused := d.Decode(topic, []byte(payload), false, testTime)
		if refused != nil || o.Source != want || o.Device != "x" {
			t.Errorf("%s is read by %q as %q, want %s (%+v)", topic, o.Source, o.Device, want, refused)
		}
	}
}

// TestLongTextsAreLetGo: an id or text keeps no long topic or payload in
// memory.
func TestLongTextsAreLetGo(t *testing.T) {
	d := NewDecoder([]*Source{mustSource(t, "s", "{device}/#", FormatDNA)})
	topic := "ac-7/" + strings.Repeat("x", 600)
	payload := `{"event":{"payload":{"type":"A_1","message":"hi"}},"data":"` + strings.Repeat("x", 600) + `"}`
	o, refused := d.Decode(topic, []byte(payload), false, testTime)
	if refused != nil || o.Device != "ac-7" || o.Key.Name != "A_1" || o.CodeRaw != "A_1" || o.Msg != "hi" {
		t.Fatalf("%+v, refused %+v", o, refused)
	}
	if unsafe.StringData(o.Device) == unsafe.StringData(topic) {
		t.Error("the id is a part of the long topic")
	}
	_, refused = d.Decode(topic, []byte(`{"event":{"payload":{"type":"A-B"}}}`), false, testTime)
	if refused == nil || refused.Reason != RefusedMalformed {
		t.Errorf("a type that is no name: %+v", refused)
	}
}

func TestRemoved(t *testing.T) {
	for _, topic := range []string{"devices/ac-7/status", "devices/ac-7/availability"} {
		for _, retained := range []bool{true, false} {
			o, refused := testDecoder(t).Decode(topic, nil, retained, testTime)
			if refused != nil || o.Says != diagnose.SaysRemoved || o.Device != "ac-7" {
				t.Errorf("empty payload on %s: %+v, %+v", topic, o, refused)
			}
		}
	}
}

func TestTextsAreCleaned(t *testing.T) {
	payload := `{"status":-7,"msg":"a\u0000b\u202ec\u0007 {\"devSession\":\"s3cret\"} to\u0001ken=s3cret 错","fw":"1\u001b[31m","pid":7,"mac":5,"ip":["x"],"model":"` + strings.Repeat("m", 300) + `"}`
	o, refused := decodeDNA(t, payload)
	if refused != nil {
		t.Fatal(refused)
	}
	if want := `abc {"devSession":"***"} token=*** 错`; o.Msg != want {
		t.Errorf("msg %q, want %q", o.Msg, want)
	}
	if want := (diagnose.Facts{PID: "7", FW: "1[31m", Model: strings.Repeat("m", 128)}); o.Facts != want {
		t.Errorf("facts %+v, want %+v", o.Facts, want)
	}
	o, _ = decodeDNA(t, `{"status":-7,"msg":"`+strings.Repeat("错", 300)+`"}`)
	if o.Msg != strings.Repeat("错", 256) {
		t.Errorf("msg of %d bytes, want 256 runes", len(o.Msg))
	}
	o, _ = decodeDNA(t, `{"status":-7,"msg":5,"message":"second","event":{"payload":{"msg":"third","did":"d"}}}`)
	if o.Msg != "second" || o.Facts.DID != "d" {
		t.Errorf("msg %q did %q", o.Msg, o.Facts.DID)
	}
}

func TestNothingSecretIsKept(t *testing.T) {
	secret := "s3cr3t"
	payload := fmt.Sprintf(`{"status":-7,"cookie":%[1]q,"loginsession":%[1]q,"data":{"aeskey":%[1]q},"license":%[1]q,"event":{"payload":{"devSession":%[1]q,"token":%[1]q}}}`, secret)
	o, refused := decodeDNA(t, payload)
	if refused != nil || strings.Contains(fmt.Sprintf("%+v", o), secret) {
		t.Errorf("%+v (refused %+v) holds the secret", o, refused)
	}
	_, refused = decodeDNA(t, strings.Replace(payload, "-7", "true", 1))
	if refused == nil || strings.Contains(refused.Sample, secret) || !strings.Contains(refused.Sample, `"cookie":"***"`) {
		t.Errorf("sample of %+v", refused)
	}
}

// TestDecodingLeavesThePayloadAlone: the client library may use its buffer
// again.
func TestFactsAreMasked(t *testing.T) {
	o, refused := decodeDNA(t, `{"status":-7,"model":"SP4 session=S3K","mac":"34:ea:34:00:00:01"}`)
	if refused != nil || o.Facts.Model != "SP4 session=***" || o.Facts.MAC != "34:ea:34:00:00:01" {
		t.Errorf("%+v, %+v", o.Facts, refused)
	}
}

func TestDecodingLeavesThePayloadAlone(t *testing.T) {
	payload := []byte(`{"status":"0xfff9","msg":"hello","ts":17,"mac":"m"}`)
	o, _ := testDecoder(t).Decode("devices/ac-7/status", payload, false, testTime)
	copy(payload, bytes.Repeat([]byte("x"), len(payload)))
	if o.CodeRaw != "0xfff9" || o.Msg != "hello" || string(o.SourceTS) != "17" || o.Facts.MAC != "m" {
		t.Errorf("the observation changed with the buffer: %+v", o)
	}
}
