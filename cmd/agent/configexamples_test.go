package main

import (
	"os"
	"strings"
	"testing"

	"fieldmedic/internal/diagnose"
	"fieldmedic/internal/rules"
)

// TestExampleRules: the example of site rules is right, and does what its
// comments say.
func TestExampleRules(t *testing.T) {
	set, err := rules.Load(rules.Options{Languages: []string{"en", "zh"}, Dir: "../../configs/rules.d"})
	if err != nil {
		t.Fatal(err)
	}
	for code, want := range map[int32]string{-5: "example-site/data-not-ready@1", -9001: "example-site/bridge-overheated@1", -1: "firmware/authentication-failed@1"} {
		if m := set.Match(diagnose.Key{Code: code}); m.Rule == nil || m.Rule.Ref != want {
			t.Errorf("%d: %+v, want %s", code, m.Rule, want)
		}
	}
}

// TestExampleBroker: the broker's files have the settings that the sessions
// need, and the topics of the sample configuration.
func TestExampleBroker(t *testing.T) {
	for file, lines := range map[string][]string{
		"fieldmedic.conf": {
			"persistence true", "autosave_interval 10", "max_queued_messages 100000", "max_packet_size 262144", "allow_anonymous false",
		},
		"fieldmedic.acl": {
			"topic read devices/+/status", "topic readwrite diagnostics/gw-01/#", "topic write diagnostics/gw-01/request/recheck",
			"topic read diagnostics/#", "pattern write devices/%u/status",
		},
	} {
		content, err := os.ReadFile("../../configs/mosquitto/" + file)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range lines {
			if !strings.Contains("\n"+string(content), "\n"+line+"\n") {
				t.Errorf("%s: %q is missing", file, line)
			}
		}
	}
}
