package main

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// sampleConfig is the file that packages ship, and operators read.
const sampleConfig = "../../configs/fieldmedic.yaml"

// bareEnvironment takes away what a machine could add to a configuration.
func bareEnvironment(t testing.TB) {
	t.Helper()
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		if strings.HasPrefix(name, envPrefix) || name == "STATE_DIRECTORY" || name == "CREDENTIALS_DIRECTORY" {
			t.Setenv(name, "") // so that it is there again after the test
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Setenv("XDG_STATE_HOME", "/state")
}

// configOf loads what a command line gives, as if no file were in the usual
// place.
func configOf(t testing.TB, args ...string) (*Config, error) {
	t.Helper()
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	addConfigFlags(flags)
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	return loadConfigFrom(flags, "/usual/place/fieldmedic.yaml")
}

func mustConfig(t testing.TB, args ...string) *Config {
	t.Helper()
	cfg, err := configOf(t, args...)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// configFile writes a file and answers the flag that names it.
func configFile(t testing.TB, content string) string {
	t.Helper()
	return "--config=" + secretFile(t, content, 0o644)
}

func secretFile(t testing.TB, content string, mode os.FileMode) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file.yaml")
	if err := os.WriteFile(file, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestConfigDefaults holds the defaults to the contract's section 2.
func TestConfigDefaults(t *testing.T) {
	bareEnvironment(t)
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		Gateway: host, Languages: []string{"en"}, State: StateConfig{Dir: "/state/fieldmedic"},
		MQTT: MQTTConfig{
			Broker: "embedded", Listen: "127.0.0.1:1883", BaseTopic: "diagnostics", Requests: []string{"recheck"},
		},
		Sources: []SourceConfig{{Name: "status", Topic: "devices/{device}/status", Format: "dna"}},
		Site:    SiteConfig{Internet: true, Resolvers: []string{}, CloudHosts: []string{}, Devices: []DeviceConfig{}},
		Checks:  ChecksConfig{Enabled: true, Timeout: 3 * time.Second, PerMinute: 60},
		Store:   StoreConfig{Retention: 720 * time.Hour, MaxSize: 64 << 20},
		Web:     WebConfig{Listen: "127.0.0.1:8420"},
		Log:     LogConfig{Level: "info", Format: "auto"},
	}
	got := mustConfig(t)
	mark := strings.TrimPrefix(got.MQTT.ClientID, "fieldmedic-"+host+"-")
	if len(mark) != 8 || strings.Trim(mark, "0123456789abcdef") != "" {
		t.Errorf("client id %q, want fieldmedic-%s- and 8 hex digits", got.MQTT.ClientID, host)
	}
	want.MQTT.ClientID = got.MQTT.ClientID
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// TestConfigSample: the sample is the defaults, all of them, in the order of
// Config, which is the contract's.
func TestConfigSample(t *testing.T) {
	bareEnvironment(t)
	without, sample := mustConfig(t), mustConfig(t, "--config", sampleConfig)
	if !reflect.DeepEqual(without, sample) {
		t.Errorf("%s  %+v\nno file  %+v", sampleConfig, sample, without)
	}
	content, err := os.ReadFile(sampleConfig)
	if err != nil {
		t.Fatal(err)
	}
	tree := readYAML(sampleConfig, content, new(collector))
	before := position{}
	for _, k := range configKeys() {
		at, ok := tree.places[k.name]
		switch {
		case !ok:
			t.Errorf("%s is missing in %s", k.name, sampleConfig)
		case at.line <= before.line:
			t.Errorf("%s: line %d, want it after line %d", k.name, at.line, before.line)
		}
		before = at
		for _, f := range k.fields {
			if !strings.Contains(string(content), f.name+":") {
				t.Errorf("%s of %s is missing in %s", f.name, k.name, sampleConfig)
			}
		}
	}
}

func TestConfigValid(t *testing.T) {
	bareEnvironment(t)
	secret := secretFile(t, "a secret\n", 0o640)
	login := []string{"--mqtt-username=u", "--mqtt-password-file=" + secret}
	for _, args := range [][]string{
		{"--mqtt-broker=mqtt://[::1]:1883"},
		{"--mqtt-broker=tcp://broker"},
		{"--mqtt-broker=ws://broker.example:9001/mqtt"},
		{"--mqtt-broker=wss://broker.example/mqtt"},
		{"--mqtt-broker=ssl://broker.example", "--mqtt-username=only-a-name"},
		{"--mqtt-listen=localhost:1883", "--web-listen=localhost:0"},
		{"--mqtt-listen=[::1]:1883", "--web-listen=[::1]:8420"},
		{"--mqtt-listen=127.8.8.8:1883", "--web-listen=[::ffff:127.0.0.1]:1"},
		append(login, "--mqtt-listen=:1883"),
		append(login, "--mqtt-broker=mqtts://broker.example"),
		{"--web-listen=0.0.0.0:8420", "--web-token-file=" + secret}, // with a certificate of our own making
		{"--web-listen=gateway.local:8420", "--web-token-file=" + secret, "--web-insecure"},
		{"--languages=zh", "--languages=zh-CN,en"},
		{"--site-resolvers=192.168.1.1,[fd00::1]:53,fd00::1", "--site-cloud-hosts=[::1]:443,[::1],a_b.example,x:1"},
		{"--gateway=" + strings.Repeat("g", 128)}, // the default client id is as long as that
		{"--mqtt-requests=recheck,acknowledge,unacknowledge,ignore,unignore,note,outcome,resolve,forget,resend"},
	} {
		if _, err := configOf(t, args...); err != nil {
			t.Errorf("%q: %v", args, err)
		}
	}
}

func TestConfigChinese(t *testing.T) {
	bareEnvironment(t)
	for _, text := range []string{"zh", "zh-CN", "zh-Hans", "zh-hans-cn"} {
		if c := mustConfig(t, "--languages=en,"+text); c.Languages[1] != "zh-Hans" {
			t.Errorf("%s is %s, want zh-Hans", text, c.Languages[1])
		}
	}
}

// TestConfigUsualFile: the usual file is read if it is there, and only then.
func TestConfigUsualFile(t *testing.T) {
	bareEnvironment(t)
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	addConfigFlags(flags)
	usual := secretFile(t, "gateway: usual\n", 0o644)
	if c, err := loadConfigFrom(flags, usual); err != nil || c.Gateway != "usual" {
		t.Errorf("%+v, %v", c, err)
	}
	_, err := configOf(t, "--config=/no/such/file.yaml")
	if want := "/no/such/file.yaml: cannot be read: no such file or directory (a file that can be read, 1 MiB at most)"; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if _, err := configOf(t, "--config="); err == nil || !strings.HasPrefix(err.Error(), "--config: the name is empty") {
		t.Errorf("an empty name: %v", err)
	}
}

func TestConfigStateDir(t *testing.T) {
	bareEnvironment(t)
	t.Setenv("HOME", "/home/somebody")
	t.Setenv("XDG_STATE_HOME", "relative")
	if got := mustConfig(t).State.Dir; got != "/home/somebody/.local/state/fieldmedic" {
		t.Errorf("below HOME: %s", got)
	}
	t.Setenv("STATE_DIRECTORY", "/var/lib/fieldmedic:/var/lib/other")
	if got := mustConfig(t).State.Dir; got != "/var/lib/fieldmedic" {
		t.Errorf("of the service: %s", got)
	}
	if got := mustConfig(t, "--state-dir=here").State.Dir; got != "here" {
		t.Errorf("given: %s", got)
	}
}

// TestConfigCredentials: a credential of systemd stands in for a file that is
// not set. An empty one is none.
func TestConfigCredentials(t *testing.T) {
	bareEnvironment(t)
	dir := t.TempDir()
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	for name, content := range map[string]string{credentialPassword: "hunter2", credentialTokens: ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o400); err != nil {
			t.Fatal(err)
		}
	}
	c := mustConfig(t, "--mqtt-username=fieldmedic")
	if want := filepath.Join(dir, "mqtt-password"); c.MQTT.PasswordFile != want || c.Web.TokenFile != "" {
		t.Errorf("password %q, tokens %q, want %q and none", c.MQTT.PasswordFile, c.Web.TokenFile, want)
	}
	own := secretFile(t, "secret", 0o600)
	if c := mustConfig(t, "--mqtt-username=fieldmedic", "--mqtt-password-file="+own); c.MQTT.PasswordFile != own {
		t.Errorf("password %q, want the file that is set", c.MQTT.PasswordFile)
	}
}

// TestConfigReload: the same function loads again, and sees what changed.
func TestConfigReload(t *testing.T) {
	bareEnvironment(t)
	file := secretFile(t, "log: {level: info}\n", 0o644)
	first, again := mustConfig(t, "-c", file), mustConfig(t, "-c", file)
	if !reflect.DeepEqual(first, again) {
		t.Errorf("two loads differ:\n%+v\n%+v", first, again)
	}
	if err := os.WriteFile(file, []byte("log: {level: debug}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if c := mustConfig(t, "-c", file); c.Log.Level != "debug" || first.Log.Level != "info" {
		t.Errorf("level %s after the change, %s before", c.Log.Level, first.Log.Level)
	}
	if err := os.WriteFile(file, []byte("log: {level: debu"), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := configOf(t, "-c", file)
	if c != nil || !errors.As(err, new(configMistakes)) {
		t.Errorf("a file cut short: %+v, %v", c, err)
	}
}
