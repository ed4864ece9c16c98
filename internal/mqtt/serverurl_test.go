package mqtt

import (
	"strings"
	"testing"
)

func TestServerURLs(t *testing.T) {
	for in, want := range map[string]string{
		"mqtt://broker":               "mqtt://broker:1883",
		"tcp://192.0.2.1:1884":        "mqtt://192.0.2.1:1884",
		"mqtts://broker":              "mqtts://broker:8883",
		"ssl://broker":                "mqtts://broker:8883",
		"mqtt://[::1]:1883":           "mqtt://[::1]:1883",
		"mqtt://[::1]":                "mqtt://[::1]:1883",
		"ws://broker/mqtt":            "ws://broker:80/mqtt",
		"wss://broker:9001/mqtt":      "wss://broker:9001/mqtt",
		"mqtt://::1":                  "!brackets",
		"broker:1883":                 "!broker",
		"http://broker":               "!scheme",
		"mqtt://":                     "!host is missing",
		"mqtt://user:s3cret@broker":   "!mqtt.username",
		"mqtt://broker:0":             "!port",
		"mqtt://broker/path":          "!ws://",
		"mqtt://broker?x=1":           "!nothing may follow",
		"mqtt://broker:1883#fragment": "!nothing may follow",
	} {
		u, err := ParseServerURL(in)
		switch {
		case strings.HasPrefix(want, "!"):
			if err == nil || !strings.Contains(err.Error(), want[1:]) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%s: %v, want an error with %q", in, err, want[1:])
			}
		case err != nil || u.String() != want:
			t.Errorf("%s: %v, %v, want %s", in, u, err, want)
		}
	}
}
