package main

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"

	"fieldmedic/internal/rules"
)

// Names of the systemd credentials (contract section 2; systemd.exec(5),
// LoadCredential=).
const (
	credentialPassword = "mqtt-password"
	credentialTokens   = "web-token"
)

// complete fills in what the machine tells where the operator said nothing.
func (c *Config) complete() {
	if c.Gateway == "" {
		if host, err := os.Hostname(); err == nil {
			c.Gateway = host
		}
	}
	for i, lang := range c.Languages {
		if canonical, ok := rules.Canonical(lang); ok {
			c.Languages[i] = canonical
		}
	}
	if c.MQTT.ClientID == "" {
		c.MQTT.ClientID = "fieldmedic-" + c.Gateway + "-" + machineMark()
	}
	c.MQTT.PasswordFile = cmp.Or(c.MQTT.PasswordFile, credential(credentialPassword))
	c.Web.TokenFile = cmp.Or(c.Web.TokenFile, credential(credentialTokens))
	c.State.Dir = cmp.Or(c.State.Dir, stateDir())
}

// credential is the file of a systemd credential, or "" when there is none. An
// empty one is none: a unit can give it as the default of a missing file.
func credential(name string) string {
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	if dir == "" {
		return ""
	}
	file := filepath.Join(dir, name)
	if info, err := os.Stat(file); err != nil || info.Size() == 0 {
		return ""
	}
	return file
}

// stateDir is where the state is kept when nobody says otherwise.
func stateDir() string {
	// systemd separates several directories by colons; ours is the first.
	if dir, _, _ := strings.Cut(os.Getenv("STATE_DIRECTORY"), ":"); dir != "" {
		return dir
	}
	// A relative one is to be ignored (XDG Base Directory Specification).
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "fieldmedic")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".local", "state", "fieldmedic")
}

// machineMark tells machines of one name apart: 8 hex digits made from the
// machine's id, which itself is not to be published (machine-id(5)).
func machineMark() string {
	id, err := os.ReadFile("/etc/machine-id")
	if err != nil || len(strings.TrimSpace(string(id))) == 0 {
		host, hostErr := os.Hostname()
		if hostErr != nil {
			host = "unknown"
		}
		id = []byte(host)
	}
	sum := sha256.Sum256(append([]byte("fieldmedic "), strings.TrimSpace(string(id))...))
	return hex.EncodeToString(sum[:4])
}
