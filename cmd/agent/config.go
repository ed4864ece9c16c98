package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

// This is the only file that knows viper. It joins the four places a value may
// come from; what the values are and whether they hold is said in the files
// beside it: keys, file, yaml, complete, check, and one for each larger section.

// Config is everything an operator may set (contract section 2). It is made
// once, checked as a whole, and never written to again; a reload makes another.
type Config struct {
	Gateway   string         `mapstructure:"gateway"`
	Languages []string       `mapstructure:"languages"`
	State     StateConfig    `mapstructure:"state"`
	MQTT      MQTTConfig     `mapstructure:"mqtt"`
	Sources   []SourceConfig `mapstructure:"sources"`
	Rules     RulesConfig    `mapstructure:"rules"`
	Site      SiteConfig     `mapstructure:"site"`
	Checks    ChecksConfig   `mapstructure:"checks"`
	Store     StoreConfig    `mapstructure:"store"`
	Web       WebConfig      `mapstructure:"web"`
	Log       LogConfig      `mapstructure:"log"`
}

// StateConfig says where the state is kept.
type StateConfig struct {
	Dir string `mapstructure:"dir"`
}

// MQTTConfig is the broker and what is said to it.
type MQTTConfig struct {
	Broker       string   `mapstructure:"broker"`
	Listen       string   `mapstructure:"listen"`
	ClientID     string   `mapstructure:"client_id"`
	Username     string   `mapstructure:"username"`
	PasswordFile string   `mapstructure:"password_file"`
	CAFile       string   `mapstructure:"ca_file"`
	CertFile     string   `mapstructure:"cert_file"`
	KeyFile      string   `mapstructure:"key_file"`
	BaseTopic    string   `mapstructure:"base_topic"`
	Requests     []string `mapstructure:"requests"`
}

// SourceConfig is one thing to subscribe to and how to read it.
type SourceConfig struct {
	Name        string        `mapstructure:"name"`
	Topic       string        `mapstructure:"topic"`
	Format      string        `mapstructure:"format"`
	ExpectEvery time.Duration `mapstructure:"expect_every"`
}

// RulesConfig is the operator's own rules.
type RulesConfig struct {
	Dir string `mapstructure:"dir"`
}

// SiteConfig is what is so here by design.
type SiteConfig struct {
	Internet          bool           `mapstructure:"internet"`
	Resolvers         []string       `mapstructure:"resolvers"`
	ReferenceResolver string         `mapstructure:"reference_resolver"`
	CloudHosts        []string       `mapstructure:"cloud_hosts"`
	Devices           []DeviceConfig `mapstructure:"devices"`
}

// DeviceConfig is one device of the inventory.
type DeviceConfig struct {
	ID      string `mapstructure:"id"`
	Name    string `mapstructure:"name"`
	Address string `mapstructure:"address"`
	MAC     string `mapstructure:"mac"`
	Model   string `mapstructure:"model"`
}

// ChecksConfig bounds the active checks.
type ChecksConfig struct {
	Enabled   bool          `mapstructure:"enabled"`
	Timeout   time.Duration `mapstructure:"timeout"`
	PerMinute int           `mapstructure:"per_minute"`
}

// StoreConfig bounds the history.
type StoreConfig struct {
	Retention time.Duration `mapstructure:"retention"`
	MaxSize   Size          `mapstructure:"max_size"`
}

// WebConfig is the page and its API.
type WebConfig struct {
	Listen      string `mapstructure:"listen"`
	TokenFile   string `mapstructure:"token_file"`
	CertFile    string `mapstructure:"cert_file"`
	KeyFile     string `mapstructure:"key_file"`
	Insecure    bool   `mapstructure:"insecure"`
	SocketGroup string `mapstructure:"socket_group"`
}

// LogConfig says what is logged and how.
type LogConfig struct {
	Level  string `mapstructure:"level"`
	Format string `mapstructure:"format"`
}

// defaults are those of configs/fieldmedic.yaml, which a test holds equal.
func defaults() map[string]any {
	return map[string]any{
		"gateway": "", "languages": []string{"en"},
		"state.dir":   "",
		"mqtt.broker": "embedded", "mqtt.listen": "127.0.0.1:1883", "mqtt.client_id": "", "mqtt.username": "",
		"mqtt.password_file": "", "mqtt.ca_file": "", "mqtt.cert_file": "", "mqtt.key_file": "",
		"mqtt.base_topic": "diagnostics", "mqtt.requests": []string{"recheck"},
		"sources": []any{map[string]any{
			"name": "status", "topic": "devices/{device}/status", "format": "dna", "expect_every": "0s",
		}},
		"rules.dir": "", "site.internet": true, "site.resolvers": []string{}, "site.reference_resolver": "",
		"site.cloud_hosts": []string{}, "site.devices": []any{},
		"checks.enabled": true, "checks.timeout": "3s", "checks.per_minute": 60,
		"store.retention": "720h", "store.max_size": "64MiB",
		"web.listen": "127.0.0.1:8420", "web.token_file": "", "web.cert_file": "", "web.key_file": "",
		"web.insecure": false, "web.socket_group": "",
		"log.level": "info", "log.format": "auto",
	}
}

// envPrefix begins the name of every variable.
const envPrefix = "FIELDMEDIC_"

// envName is the variable of a key.
func envName(key string) string {
	return envPrefix + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(key))
}

// flagName is the flag of a key.
func flagName(key string) string { return strings.NewReplacer(".", "-", "_", "-").Replace(key) }

// addConfigFlags adds a flag for the file, and one for each key.
func addConfigFlags(flags *pflag.FlagSet) {
	flags.StringP("config", "c", "", "configuration `file` (default "+defaultConfigFile+", if it is there)")
	for _, k := range configKeys() {
		flags.String(flagName(k.name), "", "sets "+k.name+", `"+k.kind.String()+"`")
		if k.kind == kindSwitch {
			flags.Lookup(flagName(k.name)).NoOptDefVal = "true" // --web-insecure alone switches it on
		}
	}
}

// loadConfig reads file, environment and flags into a Config, at the start and
// at each reload. The error is configMistakes, with everything that is wrong;
// the Config beside it holds what could be read, for those who only want to
// know a part of it, and is nil when the file cannot be read at all.
func loadConfig(flags *pflag.FlagSet) (*Config, error) {
	return loadConfigFrom(flags, defaultConfigFile)
}

// loadConfigFrom is loadConfig with another usual place of the file.
func loadConfigFrom(flags *pflag.FlagSet, usual string) (*Config, error) {
	var found collector
	file, content := readConfigFile(flags, usual, &found)
	return decodeConfig(readYAML(file, content, &found), flags, &found)
}

// decodeConfig joins what the places say, and judges it as a whole.
func decodeConfig(tree configTree, flags *pflag.FlagSet, found *collector) (*Config, error) {
	v := viper.New()
	for key, value := range defaults() {
		v.SetDefault(key, value)
	}
	if err := v.MergeConfigMap(tree.values); err != nil {
		return nil, fmt.Errorf("take over %s: %w", tree.file, err)
	}
	named, err := bind(v, flags, found)
	if err != nil {
		return nil, err
	}
	if found.broken {
		return nil, found.err()
	}
	cfg := new(Config)
	hooks := mapstructure.ComposeDecodeHookFunc(listFromText, sizeFromText, mapstructure.StringToTimeDurationHookFunc())
	if err := v.UnmarshalExact(cfg, viper.DecodeHook(hooks)); err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	cfg.complete()
	cfg.check(&checker{found: found, tree: tree, named: named})
	return cfg, found.err()
}

// bind lays variables and flags over the file, and answers which keys they set.
// A text that does not fit its key is a mistake and sets nothing.
func bind(v *viper.Viper, flags *pflag.FlagSet, found *collector) (map[string]origin, error) {
	v.AllowEmptyEnv(true)
	named := map[string]origin{}
	take := func(k key, name, text string) bool {
		places, ok := found.fromText(name, k, text)
		if ok {
			named[k.name] = origin{name, places}
		}
		return ok
	}
	for _, k := range configKeys() {
		if text, set := os.LookupEnv(envName(k.name)); set && take(k, envName(k.name), text) {
			if err := v.BindEnv(k.name, envName(k.name)); err != nil {
				return nil, fmt.Errorf("bind %s: %w", envName(k.name), err)
			}
		}
		flag := flags.Lookup(flagName(k.name))
		if flag != nil && flag.Changed && take(k, "--"+flag.Name, flag.Value.String()) {
			if err := v.BindPFlag(k.name, flag); err != nil {
				return nil, fmt.Errorf("bind --%s: %w", flag.Name, err)
			}
		}
	}
	return named, nil
}
