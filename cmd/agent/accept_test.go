package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"fieldmedic/internal/diagnose"
	"fieldmedic/test/mosquitto"
)

// TestMainJob is the mission in one message: a number comes in, a diagnostic
// with the right action goes out as state and as event, and a success ends it.
func TestMainJob(t *testing.T) {
	r := startAgent(t, "")
	a := connectApp(t, r.mqtt)
	mainJob(t, a)
}

func mainJob(t *testing.T, a *app) {
	t.Helper()
	const topic = "diagnostics/gw-01/device/ac-7"
	start := time.Now()
	a.report("devices/ac-7/status", `{"status":-4013}`)
	eventually(t, "event and snapshot", func() bool { return len(a.seen("ac-7")) == 1 && a.last(topic) != "" })
	t.Logf("publish to event and snapshot: %v", time.Since(start)) // make bench measures it
	ev := a.seen("ac-7")[0]
	d := ev.Diagnosis
	if ev.Type != diagnose.Raised || d.Condition != "dns-resolution-failed" || d.Action != diagnose.ActCheckDNS ||
		d.Status != diagnose.Suspected || d.Severity != diagnose.Major || d.Code == nil || *d.Code != -4013 || d.CodeRaw != "-4013" {
		t.Errorf("event %+v", ev)
	}
	s, _ := a.snapshot("ac-7")
	if s.Health != diagnose.HealthFailed || s.Action != diagnose.ActCheckDNS || len(s.Diagnoses) != 1 ||
		len(s.Diagnoses[0].Advice["en"].User) == 0 || len(s.Diagnoses[0].Advice["en"].Technician) == 0 {
		t.Errorf("snapshot %+v", s)
	}
	if text := a.last("diagnostics/gw-01/event"); strings.Contains(text, `"advice"`) {
		t.Error("an event carries advice")
	}
	a.report("devices/ac-7/status", `{"status":0}`)
	eventually(t, "cleared", func() bool {
		s, _ := a.snapshot("ac-7")
		return s.Health == diagnose.HealthOK && len(a.seen("ac-7")) == 2
	})
	last := a.seen("ac-7")[1]
	if last.Type != diagnose.Cleaned || last.Diagnosis.ClearedBy != diagnose.BySignal || last.Diagnosis.ID != d.ID ||
		last.Seq <= ev.Seq || last.Epoch != ev.Epoch {
		t.Errorf("cleared %+v", last)
	}
}

// TestMosquitto runs the main job against a real broker with a configuration
// file: open, and with a password.
func TestMosquitto(t *testing.T) {
	for name, users := range map[string]map[string]string{"open": nil, "password": {"medic": "s3cret*pass"}} {
		t.Run(name, func(t *testing.T) {
			b, err := mosquitto.Start(mosquitto.Options{Dir: t.TempDir(), Users: users})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = b.Kill() })
			config := "mqtt:\n  broker: " + b.URL() + "\n"
			login := func(*paho.ClientOptions) {}
			if users != nil {
				file := filepath.Join(t.TempDir(), "password")
				if err := os.WriteFile(file, []byte("s3cret*pass\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				config += "  username: medic\n  password_file: " + file + "\n"
				login = func(o *paho.ClientOptions) { o.SetUsername("medic").SetPassword("s3cret*pass") }
			}
			r := startAgent(t, config)
			a := connectApp(t, b.Address(), login)
			mainJob(t, a)
			if text := r.stderr.String(); strings.Contains(text, "s3cret") {
				t.Error("the password is in the log")
			}
		})
	}
}

// TestFormerTopics: what was retained under another base topic is gone after
// the next start, and what is somebody else's there stays.
func TestFormerTopics(t *testing.T) {
	b, err := mosquitto.Start(mosquitto.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Kill() })
	state := t.TempDir()
	config := "mqtt:\n  broker: " + b.URL() + "\n"
	r := startAgent(t, config, "--state-dir", state, "--mqtt-base-topic", "old")
	a := connectApp(t, b.Address())
	a.report("devices/ac-7/status", `{"status":-4013}`)
	eventually(t, "the device is published", func() bool { return mosquittoSub(t, b.Address(), "old/gw-01/device/ac-7") != "" })
	a.publish("old/gw-02/state", "another's", true)
	r.stop()
	startAgent(t, config, "--state-dir", state, "--mqtt-base-topic", "new")
	eventually(t, "the former topics are gone", func() bool {
		for _, topic := range []string{"state", "info", "site", "device/ac-7", "self/watermark"} {
			if mosquittoSub(t, b.Address(), "old/gw-01/"+topic) != "" {
				return false
			}
		}
		return true
	})
	if mosquittoSub(t, b.Address(), "new/gw-01/device/ac-7") == "" || mosquittoSub(t, b.Address(), "old/gw-02/state") == "" {
		t.Error("what is published now, or is another's, is gone")
	}
}

// vendorCodes reads the vendor's list.
func vendorCodes(t *testing.T) map[int32]string {
	t.Helper()
	f, err := os.Open("../../internal/rules/testdata/vendor-codes.tsv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	codes := map[int32]string{0: ""} // success, which is of no family
	for lines := bufio.NewScanner(f); lines.Scan(); {
		cols := strings.Split(lines.Text(), "\t")
		code, err := strconv.ParseInt(cols[0], 10, 32)
		if err != nil || len(cols) < 2 {
			continue // a heading
		}
		codes[int32(code)] = cols[1]
	}
	return codes
}

// TestEveryCode publishes all of the vendor's codes, one device each.
func TestEveryCode(t *testing.T) {
	codes := vendorCodes(t)
	if len(codes) != 194 {
		t.Fatalf("%d codes, want 194", len(codes))
	}
	r := startAgent(t, "")
	a := connectApp(t, r.mqtt)
	for code := range codes {
		a.report(fmt.Sprintf("devices/code%d/status", code), fmt.Sprintf(`{"status":%d,"msg":"failed"}`, code))
	}
	eventually(t, "193 events", func() bool { return a.count() == 193 })
	for code, family := range codes {
		device := fmt.Sprintf("code%d", code)
		if code == 0 {
			eventually(t, "a snapshot of the healthy device", func() bool { _, ok := a.snapshot(device); return ok })
			if s, _ := a.snapshot(device); s.Health != diagnose.HealthOK || len(s.Diagnoses) != 0 || len(a.seen(device)) != 0 {
				t.Errorf("0: %+v", s)
			}
			continue
		}
		eventually(t, "snapshot of "+device, func() bool { _, ok := a.snapshot(device); return ok })
		s, _ := a.snapshot(device)
		if len(s.Diagnoses) != 1 || len(a.seen(device)) != 1 {
			t.Errorf("%d: %d diagnoses, %d events", code, len(s.Diagnoses), len(a.seen(device)))
			continue
		}
		d := s.Diagnoses[0]
		if string(d.Family) != family || d.Code == nil || *d.Code != code || d.Action == "" || len(d.Causes) == 0 {
			t.Errorf("%d: family %s (want %s), %+v", code, d.Family, family, d.Diagnosis)
		}
		en := d.Advice["en"]
		if en.Title == "" || en.Summary == "" || len(en.User) == 0 || len(en.Technician) == 0 || len(en.Developer) == 0 {
			t.Errorf("%d: advice %+v", code, en)
		}
	}
}

// TestEncodings publishes one code in every encoding, and every malformed form.
func TestEncodings(t *testing.T) {
	r := startAgent(t, "")
	a := connectApp(t, r.mqtt)
	good := []string{
		`{"status":-7}`, `{"status":"-7"}`, `{"status":65529}`, `{"status":4294967289}`, `{"status":"0xfff9"}`,
		`{"error":-7}`, `{"status":-7,"error":-7}`, `{"status":0,"error":-7}`, `{"status":null,"error":-7}`,
		`{"status":"[Errno -7] Control key is expired"}`, `-7`, `"-7"`, `65529`, `0xfff9`, `[Errno -7] Control key is expired`,
		`{"event":{"payload":{"status":-7}}}`,
	}
	for i, payload := range good {
		a.report(fmt.Sprintf("devices/good%d/status", i), payload)
	}
	bad := []string{
		`{"status":-7.0}`, `{"status":-7e0}`, `{"status":true}`, `NaN`, `[-7]`, `{"status":-07}`, `{"status":4294967296}`,
		`{"status":-2147483649}`, `{}`, `{"status":-7,"STATUS":0}`, `{"status":-7,"status":-7}`, `{"status":-7} x`, `{"status":null}`,
		`{"status":-7`, "{\"status\":\xff}",
	}
	for i, payload := range bad {
		a.report(fmt.Sprintf("devices/bad%d/status", i), payload)
	}
	eventually(t, "every good one raises", func() bool { return a.count() == len(good) })
	for i := range good {
		events := a.seen(fmt.Sprintf("good%d", i))
		if len(events) != 1 || *events[0].Diagnosis.Code != -7 || events[0].Diagnosis.Action != diagnose.ActReauthenticate {
			t.Errorf("%s: %+v", good[i], events)
		}
	}
	eventually(t, "every bad one is counted", func() bool {
		return r.metric(`fieldmedic_messages_refused_total{reason="malformed"}`) == strconv.Itoa(len(bad))
	})
	a.report("devices/after/status", `{"status":-7}`)
	eventually(t, "the good one behind them is served", func() bool { return len(a.seen("after")) == 1 })
	for i := range bad {
		if _, ok := a.snapshot(fmt.Sprintf("bad%d", i)); ok {
			t.Errorf("%q made a device known", bad[i])
		}
	}
}

// TestUnknownCode is never hidden.
func TestUnknownCode(t *testing.T) {
	r := startAgent(t, "")
	a := connectApp(t, r.mqtt)
	a.report("devices/x/status", `{"status":-4999}`)
	a.report("devices/x/status", `{"status":4013}`)
	a.report("devices/x/status", `{"status":-777777}`)
	eventually(t, "three events", func() bool { return len(a.seen("x")) == 3 })
	for i, want := range []struct {
		condition string
		family    diagnose.Family
	}{{"unknown-code-4999", "dnasdk"}, {"unknown-code-4013", "unknown"}, {"unknown-code-777777", "unknown"}} {
		d := a.seen("x")[i].Diagnosis
		if d.Condition != want.condition || d.Family != want.family || d.Severity != diagnose.Info || d.Action != diagnose.ActContactSupport {
			t.Errorf("%+v, want %v", d, want)
		}
	}
	if n := r.metric(`fieldmedic_unknown_codes_total{family="unknown"}`); n != "2" {
		t.Errorf("unknown codes counted: %q", n)
	}
}

// TestRetainedAndRemoved: a retained fault met at subscribing is listed as
// stale without an event; an empty payload removes the device.
func TestRetainedAndRemoved(t *testing.T) {
	b, err := mosquitto.Start(mosquitto.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Kill() })
	a := connectApp(t, b.Address())
	a.publish("devices/old/status", `{"status":-3}`, true)
	startAgent(t, "mqtt: {broker: "+b.URL()+"}\n")
	eventually(t, "the stale diagnosis is listed", func() bool {
		s, ok := a.snapshot("old")
		return ok && len(s.Diagnoses) == 1 && s.Diagnoses[0].Stale && s.Health == diagnose.HealthFailed
	})
	if n := len(a.seen("old")); n != 0 {
		t.Errorf("%d events for a retained message", n)
	}
	a.report("devices/old/status", `{"status":-3}`)
	eventually(t, "the live report raises", func() bool { return types(a.seen("old")) == "raised" })
	a.publish("devices/old/status", "", true)
	topic := "diagnostics/gw-01/device/old"
	eventually(t, "cleared as retired, then emptied", func() bool {
		all := a.payloads(topic)
		return types(a.seen("old")) == "raised cleared" && len(all) > 1 && all[len(all)-1] == ""
	})
	all := a.payloads(topic)
	var before diagnose.SnapshotJSON
	if err := json.Unmarshal([]byte(all[len(all)-2]), &before); err != nil || before.Diagnoses[0].ClearedBy != diagnose.ByRetired {
		t.Errorf("the last snapshot: %s (%v)", all[len(all)-2], err)
	}
}
