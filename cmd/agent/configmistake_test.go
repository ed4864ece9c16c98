package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestConfigMistakes holds the whole message of each bad file to the .want
// beside it.
func TestConfigMistakes(t *testing.T) {
	bareEnvironment(t)
	files, err := filepath.Glob("testdata/config/*.yaml")
	if err != nil || len(files) < 25 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			want, err := os.ReadFile(strings.TrimSuffix(file, "yaml") + "want")
			if err != nil {
				t.Fatal(err)
			}
			_, err = configOf(t, "--config", file)
			if err == nil {
				t.Fatal("loads, and should not")
			}
			if got := err.Error() + "\n"; got != string(want) {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
	}
}

// TestConfigMistakesElsewhere: mistakes in variables and flags name them.
func TestConfigMistakesElsewhere(t *testing.T) {
	for _, test := range []struct {
		name string
		env  map[string]string
		args []string
		want []string
	}{
		{
			"variable",
			map[string]string{"FIELDMEDIC_CHECKS_TIMEOUT": "3"},
			nil,
			[]string{`FIELDMEDIC_CHECKS_TIMEOUT: checks.timeout: "3" does not fit (a duration such as 3s, 5m or 720h)`},
		},
		{
			"empty variable",
			map[string]string{"FIELDMEDIC_STORE_MAX_SIZE": "", "FIELDMEDIC_WEB_INSECURE": ""},
			nil,
			[]string{
				`FIELDMEDIC_STORE_MAX_SIZE: store.max_size: "" does not fit (a size such as 64MiB)`,
				`FIELDMEDIC_WEB_INSECURE: web.insecure: "" does not fit (true or false)`,
			},
		},
		{
			"value of a variable",
			map[string]string{"FIELDMEDIC_LOG_LEVEL": "loud"},
			nil,
			[]string{`FIELDMEDIC_LOG_LEVEL: log.level: "loud" is not known (debug, info, warn, error)`},
		},
		{
			"list",
			map[string]string{"FIELDMEDIC_LANGUAGES": "en,,zh"},
			nil,
			[]string{`FIELDMEDIC_LANGUAGES: languages[1]: "" is no language (a BCP 47 tag such as en, de-AT or zh-Hans)`},
		},
		{
			"objects",
			map[string]string{"FIELDMEDIC_SOURCES": "- {name: a, topic: 'a/{device}', format: dna}\n- {name: b, topic: b, fromat: dna}"},
			nil,
			[]string{
				`FIELDMEDIC_SOURCES:2:20: sources[1].topic: "b" has 0 levels {device} (exactly one, as in devices/{device}/status)`,
				`FIELDMEDIC_SOURCES:2:23: sources[1].fromat: unknown key (did you mean sources[1].format?)`,
			},
		},
		{
			"objects that are none",
			map[string]string{"FIELDMEDIC_SITE_DEVICES": "ac-7,ac-8"},
			nil,
			[]string{`FIELDMEDIC_SITE_DEVICES:1:1: site.devices: "ac-7,ac-8" does not fit (a list of objects)`},
		},
		{
			"flag over variable",
			map[string]string{"FIELDMEDIC_GATEWAY": "a/b"},
			[]string{"--gateway=c/d"},
			[]string{`--gateway: gateway: "c/d" cannot be a level of a topic (1 to 128 bytes without /, +, # and control characters)`},
		},
		{
			"a good flag over a bad variable", map[string]string{"FIELDMEDIC_GATEWAY": "a/b"}, []string{"--gateway=gw"}, nil,
		},
		{
			"everything at once",
			map[string]string{"FIELDMEDIC_CHECKS_PER_MINUTE": "many", "FIELDMEDIC_SOURCES": "[{"},
			[]string{"--web-listen=8420", "--config=testdata/config/rules-dir-file.yaml", "--log-format=xml"},
			[]string{
				`--log-format: log.format: "xml" is not known (auto, text, json)`,
				`--web-listen: web.listen: "8420" is no address to listen on (HOST:PORT, as 127.0.0.1:8420 or [::1]:8420)`,
				`FIELDMEDIC_CHECKS_PER_MINUTE: checks.per_minute: "many" does not fit (a whole number)`,
				`FIELDMEDIC_SOURCES:2:1: cannot be read as YAML: did not find expected node content (` + rightYAML + `)`,
				`testdata/config/rules-dir-file.yaml:1:14: rules.dir: testdata/config/rules-dir-file.yaml is no directory (one with site rules, or "")`,
			},
		},
		{
			"neither file nor variable", nil,
			[]string{"--mqtt-listen=:1883", "--mqtt-broker=mqtt://h", "--mqtt-password-file="},
			nil,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			bareEnvironment(t)
			for name, text := range test.env {
				t.Setenv(name, text)
			}
			_, err := configOf(t, test.args...)
			var got []string
			if err != nil {
				got = strings.Split(err.Error(), "\n")
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
			}
		})
	}
}

// TestConfigStrangeVariables: a misspelt variable is told, and nothing more.
func TestConfigStrangeVariables(t *testing.T) {
	got := strangeVariables([]string{"HOME=/", "FIELDMEDIC_MQTT_BROKER=x", "FIELDMEDIC_MQTT_BROKR=x", "FIELDMEDIC_COLOUR_OF_THE_BOX=x"})
	want := []string{"FIELDMEDIC_MQTT_BROKR (did you mean FIELDMEDIC_MQTT_BROKER?)", "FIELDMEDIC_COLOUR_OF_THE_BOX"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestConfigSecrets: what may be a password is in no message, however broken
// the value is.
func TestConfigSecrets(t *testing.T) {
	bareEnvironment(t)
	for _, broker := range []string{
		"mqtt://fieldmedic:hunter2@127.0.0.1:1883", "mqtt://:hunter2@broker", "fieldmedic:hunter2@broker", "hunter2@broker",
		"mqtt://u:hunter2%zz@broker", "mqtt://u:1/hunter2@broker", "mqtt://u:hunter2#@broker", "hunter2://u@broker",
		"ws://u:70000/hunter2@broker", "mqtt://broker?password=hunter2", "mqtt://hunter2@", "mqtt:hunter2",
	} {
		for _, args := range [][]string{{"--mqtt-broker=" + broker}, {configFile(t, "mqtt: {broker: '"+broker+"'}")}} {
			_, err := configOf(t, args...)
			if err == nil || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "70000") {
				t.Errorf("%s: %v", broker, err)
			}
		}
	}
	for _, yaml := range []string{
		"mqtt: {password: hunter2}", "mqtt: {password_file: [hunter2]}", "mqtt: {password_file: {hunter2: hunter2}}",
		"mqtt_password: hunter2", "web: {token: hunter2}", "web: {token: [hunter2, hunter2]}",
	} {
		_, err := configOf(t, configFile(t, yaml))
		if err == nil || strings.Contains(strings.ReplaceAll(err.Error(), "password_file.hunter2", ""), "hunter2") {
			t.Errorf("%s: %v", yaml, err)
		}
	}
}

func TestConfigSecretFiles(t *testing.T) {
	bareEnvironment(t)
	for name, test := range map[string]struct {
		mode    os.FileMode
		content string
		want    string
	}{
		"read by everybody":    {0o644, "secret", "may be read or written by everybody on this machine (chmod o-rw "},
		"written by everybody": {0o602, "secret", "may be read or written by everybody on this machine (chmod o-rw "},
		"empty":                {0o600, "", "is empty (the secret in it)"},
		"fine":                 {0o640, "secret", ""},
	} {
		t.Run(name, func(t *testing.T) {
			file := secretFile(t, test.content, 0o600)
			if err := os.Chmod(file, test.mode); err != nil { // whatever the umask is
				t.Fatal(err)
			}
			_, err := configOf(t, "--web-token-file="+file, "--mqtt-username=u", "--mqtt-password-file="+file)
			if test.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			for _, start := range []string{"--web-token-file: web.token_file: ", "--mqtt-password-file: mqtt.password_file: "} {
				if err == nil || !strings.Contains(err.Error(), start+file+" "+test.want) {
					t.Errorf("got %v\nwant %s%s %s", err, start, file, test.want)
				}
			}
		})
	}
}

// TestConfigKeyPair: a certificate with another's key is a mistake before
// anything starts.
func TestConfigKeyPair(t *testing.T) {
	bareEnvironment(t)
	cert, key := keyPair(t)
	_, other := keyPair(t)
	if _, err := configOf(t, "--web-cert-file="+cert, "--web-key-file="+key); err != nil {
		t.Error(err)
	}
	if _, err := configOf(t, "--mqtt-broker=wss://h", "--mqtt-ca-file="+cert, "--mqtt-cert-file="+cert, "--mqtt-key-file="+key); err != nil {
		t.Error(err)
	}
	_, err := configOf(t, "--web-cert-file="+cert, "--web-key-file="+other)
	if want := "--web-cert-file: web.cert_file: tls: private key does not match public key (a certificate in PEM form, and in web.key_file its key)"; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// keyPair makes the files of a certificate and its key.
func keyPair(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	public, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	write := func(kind string, der []byte) string {
		return secretFile(t, string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})), 0o600)
	}
	return write("CERTIFICATE", public), write("PRIVATE KEY", secret)
}
