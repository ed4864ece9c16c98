package main

import (
	"strings"
	"testing"
	"time"
)

// TestConfigPrecedence: flag beats environment beats file beats default, for a
// key of every kind.
func TestConfigPrecedence(t *testing.T) {
	for _, test := range []struct {
		key, file, env, flag string
		of                   func(*Config) any
		want                 [4]any // default, file, environment, flag
	}{
		{
			"gateway", "filed", "environed", "flagged", func(c *Config) any { return c.Gateway },
			[4]any{nil, "filed", "environed", "flagged"},
		},
		{
			"site.internet", "false", "true", "false", func(c *Config) any { return c.Site.Internet },
			[4]any{true, false, true, false},
		},
		{
			"checks.per_minute", "1", "2", "3", func(c *Config) any { return c.Checks.PerMinute },
			[4]any{60, 1, 2, 3},
		},
		{
			"checks.timeout", "1s", "2s", "300ms", func(c *Config) any { return c.Checks.Timeout },
			[4]any{3 * time.Second, time.Second, 2 * time.Second, 300 * time.Millisecond},
		},
		{
			"store.max_size", "1MiB", "2GiB", "2000KiB", func(c *Config) any { return c.Store.MaxSize },
			[4]any{Size(64 << 20), Size(1 << 20), Size(2 << 30), Size(2000 << 10)},
		},
		{
			"mqtt.requests", "[note]", "recheck, resolve", "forget", func(c *Config) any { return strings.Join(c.MQTT.Requests, " ") },
			[4]any{"recheck", "note", "recheck resolve", "forget"},
		},
		{
			"site.devices", "[{id: filed}]", "[{id: environed, name: a}]", "- id: flagged",
			func(c *Config) any {
				if len(c.Site.Devices) == 0 {
					return nil
				}
				return c.Site.Devices[0]
			},
			[4]any{nil, DeviceConfig{ID: "filed"}, DeviceConfig{ID: "environed", Name: "a"}, DeviceConfig{ID: "flagged"}},
		},
		{
			"sources", "[{name: filed, topic: 'a/{device}', format: dna}]",
			"[{name: environed, topic: 'b/{device}', format: availability, expect_every: 90s}]",
			"[{name: flagged, topic: 'c/{device}', format: dna}]",
			func(c *Config) any { return c.Sources[0] },
			[4]any{
				SourceConfig{"status", "devices/{device}/status", "dna", 0},
				SourceConfig{"filed", "a/{device}", "dna", 0},
				SourceConfig{"environed", "b/{device}", "availability", 90 * time.Second},
				SourceConfig{"flagged", "c/{device}", "dna", 0},
			},
		},
	} {
		t.Run(test.key, func(t *testing.T) {
			bareEnvironment(t)
			section, name, nested := strings.Cut(test.key, ".")
			yaml := section + ": " + test.file
			if nested {
				yaml = section + ":\n  " + name + ": " + test.file
			}
			file, flag := configFile(t, yaml), "--"+flagName(test.key)+"="+test.flag
			if got := test.of(mustConfig(t)); test.want[0] != nil && got != test.want[0] {
				t.Errorf("default: %v, want %v", got, test.want[0])
			}
			if got := test.of(mustConfig(t, file)); got != test.want[1] {
				t.Errorf("file: %v, want %v", got, test.want[1])
			}
			t.Setenv(envName(test.key), test.env)
			if got := test.of(mustConfig(t, file)); got != test.want[2] {
				t.Errorf("environment: %v, want %v", got, test.want[2])
			}
			if got := test.of(mustConfig(t, file, flag)); got != test.want[3] {
				t.Errorf("flag: %v, want %v", got, test.want[3])
			}
		})
	}
}

// TestConfigEmptyVariable: a variable that is set to nothing counts.
func TestConfigEmptyVariable(t *testing.T) {
	bareEnvironment(t)
	file := configFile(t, "mqtt: {requests: [note]}\nsite: {devices: [{id: ac-7}]}\n")
	t.Setenv("FIELDMEDIC_WEB_LISTEN", "")
	t.Setenv("FIELDMEDIC_MQTT_REQUESTS", "")
	t.Setenv("FIELDMEDIC_SITE_DEVICES", "")
	c := mustConfig(t, file)
	if c.Web.Listen != "" || len(c.MQTT.Requests) != 0 || len(c.Site.Devices) != 0 {
		t.Errorf("page %q, requests %q, devices %v, want none of them", c.Web.Listen, c.MQTT.Requests, c.Site.Devices)
	}
}

func TestConfigNames(t *testing.T) {
	if got := envName("mqtt.base_topic"); got != "FIELDMEDIC_MQTT_BASE_TOPIC" {
		t.Errorf("variable %s", got)
	}
	if got := flagName("mqtt.base_topic"); got != "mqtt-base-topic" {
		t.Errorf("flag %s", got)
	}
	bareEnvironment(t)
	if c := mustConfig(t, "--web-insecure", "--site-internet=false"); !c.Web.Insecure || c.Site.Internet {
		t.Errorf("a switch without a value: %+v %+v", c.Web, c.Site)
	}
}
