package main

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"fieldmedic/internal/diagnose"
	"fieldmedic/internal/mqtt"
	"fieldmedic/internal/rules"
)

// credential names of systemd (contract section 2).
const (
	credentialPassword = "mqtt-password"
	credentialTokens   = "web-token"
)

// Bounds of values that nothing else bounds.
const (
	maxClientID  = 64
	minRetention = time.Hour
	minStore     = 1 << 20
	maxPerMinute = 600
	minTimeout   = 100 * time.Millisecond
	maxTimeout   = 5 * time.Second
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

// credential is the file of a systemd credential, or "" when there is none.
func credential(name string) string {
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	if dir == "" {
		return ""
	}
	file := filepath.Join(dir, name)
	if _, err := os.Stat(file); err != nil {
		return ""
	}
	return file
}

// stateDir is where the state is kept when nobody says otherwise.
func stateDir() string {
	if dir := os.Getenv("STATE_DIRECTORY"); dir != "" {
		return dir
	}
	if dir := os.Getenv("XDG_STATE_HOME"); dir != "" {
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

// check judges the values as a whole.
func (c *Config) check(k *checker) {
	if !mqtt.ValidID(c.Gateway) {
		k.wrong("gateway", "%q cannot be a level of a topic (1 to %d bytes without /, + and #)", c.Gateway, mqtt.MaxID)
	}
	if c.State.Dir == "" {
		k.wrong("state.dir", "no place for the state is known (a directory)")
	}
	c.checkLanguages(k)
	c.checkMQTT(k)
	c.checkSources(k)
	c.checkSite(k)
	c.checkBounds(k)
	c.checkWeb(k)
	oneOf(k, "log.level", c.Log.Level, "debug", "info", "warn", "error")
	oneOf(k, "log.format", c.Log.Format, "auto", "text", "json")
}

func oneOf(k *checker, path, value string, known ...string) {
	if !slices.Contains(known, value) {
		k.wrong(path, "%q is not known (%s)", value, strings.Join(known, ", "))
	}
}

func (c *Config) checkLanguages(k *checker) {
	if len(c.Languages) == 0 {
		k.wrong("languages", "the list is empty (at least one, as [en])")
	}
	for i, lang := range c.Languages {
		path := "languages." + strconv.Itoa(i)
		if _, ok := rules.Canonical(lang); !ok {
			k.wrong(path, "%q is no language tag (BCP 47, as en or zh-Hans)", lang)
		} else if slices.Contains(c.Languages[:i], lang) {
			k.wrong(path, "%s is there twice", lang)
		}
	}
}

func (c *Config) checkMQTT(k *checker) {
	m := &c.MQTT
	if m.Broker == mqtt.Embedded {
		checkListen(k, "mqtt.listen", m.Listen)
		if !loopback(m.Listen) && (m.Username == "" || m.PasswordFile == "") {
			k.wrong("mqtt.listen", "%s is not loopback, and no password is asked for (set mqtt.username and mqtt.password_file)", m.Listen)
		}
	} else if _, err := mqtt.ParseServerURL(m.Broker); err != nil {
		k.wrong("mqtt.broker", "%v", err)
	}
	if len(m.ClientID) > maxClientID || !utf8.ValidString(m.ClientID) || strings.ContainsFunc(m.ClientID, isControl) {
		k.wrong("mqtt.client_id", "%q (1 to %d bytes without control characters)", m.ClientID, maxClientID)
	}
	if m.PasswordFile != "" {
		checkSecretFile(k, "mqtt.password_file", m.PasswordFile)
		if m.Username == "" {
			k.wrong("mqtt.username", "a password without a user name (set both)")
		}
	}
	for _, f := range []struct{ path, file string }{
		{"mqtt.ca_file", m.CAFile}, {"mqtt.cert_file", m.CertFile}, {"mqtt.key_file", m.KeyFile},
	} {
		checkReadable(k, f.path, f.file)
	}
	checkPair(k, "mqtt", m.CertFile, m.KeyFile)
	if err := mqtt.CheckBase(m.BaseTopic); err != nil {
		k.wrong("mqtt.base_topic", "%v", err)
	}
	for i, verb := range m.Requests {
		if !slices.Contains(diagnose.Verbs(), diagnose.Verb(verb)) {
			k.wrong("mqtt.requests."+strconv.Itoa(i), "%q is no verb (%s)", verb, verbNames())
		}
	}
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

func verbNames() string {
	names := make([]string, 0, len(diagnose.Verbs()))
	for _, v := range diagnose.Verbs() {
		names = append(names, string(v))
	}
	return strings.Join(names, ", ")
}

func checkPair(k *checker, section, cert, key string) {
	switch {
	case cert != "" && key == "":
		k.wrong(section+".key_file", "a certificate without its key (set both)")
	case cert == "" && key != "":
		k.wrong(section+".cert_file", "a key without its certificate (set both)")
	}
}

func checkReadable(k *checker, path, file string) {
	if file == "" {
		return
	}
	f, err := os.Open(file)
	if err != nil {
		k.wrong(path, "%s: %v", file, plainFileError(err))
		return
	}
	_ = f.Close() // only opened to see that it can be
}

// checkSecretFile refuses a file that everybody on the machine may read.
func checkSecretFile(k *checker, path, file string) {
	info, err := os.Stat(file)
	switch {
	case err != nil:
		k.wrong(path, "%s: %v", file, plainFileError(err))
	case info.Mode().Perm()&0o004 != 0:
		k.wrong(path, "%s may be read by everybody (chmod o-r %s)", file, file)
	default:
		checkReadable(k, path, file)
	}
}

func (c *Config) checkSources(k *checker) {
	if len(c.Sources) == 0 {
		k.wrong("sources", "the list is empty (at least one source)")
	}
	for i, s := range c.Sources {
		path := "sources." + strconv.Itoa(i)
		if s.Name == "" || len(s.Name) > mqtt.MaxID || strings.ContainsFunc(s.Name, isControl) {
			k.wrong(path+".name", "%q (a name of 1 to %d bytes)", s.Name, mqtt.MaxID)
		}
		if slices.ContainsFunc(c.Sources[:i], func(o SourceConfig) bool { return o.Name == s.Name }) {
			k.wrong(path+".name", "source %q is there twice", s.Name)
		}
		if s.ExpectEvery < 0 {
			k.wrong(path+".expect_every", "%v is negative (0s switches it off)", s.ExpectEvery)
		}
		if !slices.Contains(mqtt.Formats(), mqtt.Format(s.Format)) {
			k.wrong(path+".format", "%q is no format (%s)", s.Format, formatNames())
			continue
		}
		source, err := mqtt.NewSource(s.Name, s.Topic, mqtt.Format(s.Format), s.ExpectEvery)
		if err != nil {
			k.wrong(path+".topic", "%v", err)
		} else if mqtt.Overlap(source.Filter(), c.MQTT.BaseTopic) {
			k.wrong(path+".topic", "%s overlaps mqtt.base_topic %s: the agent would read what it writes (another topic)", s.Topic, c.MQTT.BaseTopic)
		}
	}
}

func formatNames() string {
	names := make([]string, 0, len(mqtt.Formats()))
	for _, f := range mqtt.Formats() {
		names = append(names, string(f))
	}
	return strings.Join(names, ", ")
}

// sources makes the compiled sources of a configuration that was checked.
func (c *Config) sources() ([]*mqtt.Source, error) {
	list := make([]*mqtt.Source, 0, len(c.Sources))
	for _, s := range c.Sources {
		source, err := mqtt.NewSource(s.Name, s.Topic, mqtt.Format(s.Format), s.ExpectEvery)
		if err != nil {
			return nil, fmt.Errorf("source %q: %w", s.Name, err)
		}
		list = append(list, source)
	}
	return list, nil
}

func (c *Config) checkSite(k *checker) {
	for i, r := range c.Site.Resolvers {
		checkResolver(k, "site.resolvers."+strconv.Itoa(i), r)
	}
	if c.Site.ReferenceResolver != "" {
		checkResolver(k, "site.reference_resolver", c.Site.ReferenceResolver)
	}
	for i, h := range c.Site.CloudHosts {
		host, port, err := net.SplitHostPort(h)
		if err != nil {
			host, port = h, "443"
		}
		if !hostName(host) || !portNumber(port, 1) {
			k.wrong("site.cloud_hosts."+strconv.Itoa(i), "%q is no host (HOST or HOST:PORT)", h)
		}
	}
	for i, d := range c.Site.Devices {
		path := "site.devices." + strconv.Itoa(i)
		if !mqtt.ValidID(d.ID) {
			k.wrong(path+".id", "%q cannot be a device's id (1 to %d bytes without /, + and #)", d.ID, mqtt.MaxID)
		}
		if slices.ContainsFunc(c.Site.Devices[:i], func(o DeviceConfig) bool { return o.ID == d.ID }) {
			k.wrong(path+".id", "device %q is there twice", d.ID)
		}
		if d.Address != "" && !hostName(d.Address) {
			k.wrong(path+".address", "%q is no address (an IP address or a host name)", d.Address)
		}
		if d.MAC != "" {
			if mac, err := net.ParseMAC(d.MAC); err != nil || len(mac) != 6 {
				k.wrong(path+".mac", "%q is no MAC address (as 34:ea:34:00:00:01)", d.MAC)
			}
		}
	}
}

func checkResolver(k *checker, path, r string) {
	if _, err := netip.ParseAddr(r); err == nil {
		return
	}
	if _, err := netip.ParseAddrPort(r); err != nil {
		k.wrong(path, "%q is no resolver (an IP address, or IP:PORT)", r)
	}
}

// hostName tells whether s is an IP address or may be a host's name (RFC 1123,
// 2.1).
func hostName(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(s, "."), ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		if strings.ContainsFunc(label, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
		}) {
			return false
		}
	}
	return true
}

func portNumber(s string, least int) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n >= least && n <= 65535
}

func (c *Config) checkBounds(k *checker) {
	if c.Checks.Timeout < minTimeout || c.Checks.Timeout > maxTimeout {
		k.wrong("checks.timeout", "%v is out of bounds (%v to %v)", c.Checks.Timeout, minTimeout, maxTimeout)
	}
	if c.Checks.PerMinute < 1 || c.Checks.PerMinute > maxPerMinute {
		k.wrong("checks.per_minute", "%d is out of bounds (1 to %d)", c.Checks.PerMinute, maxPerMinute)
	}
	if c.Store.Retention < minRetention {
		k.wrong("store.retention", "%v is too short (%v or more)", c.Store.Retention, minRetention)
	}
	if c.Store.MaxSize < minStore {
		k.wrong("store.max_size", "%d bytes are too few (1MiB or more)", c.Store.MaxSize)
	}
}

func (c *Config) checkWeb(k *checker) {
	w := &c.Web
	for _, f := range []struct{ path, file string }{{"web.cert_file", w.CertFile}, {"web.key_file", w.KeyFile}} {
		checkReadable(k, f.path, f.file)
	}
	checkPair(k, "web", w.CertFile, w.KeyFile)
	if w.TokenFile != "" {
		checkSecretFile(k, "web.token_file", w.TokenFile)
	}
	if w.Listen == "" {
		return
	}
	checkListen(k, "web.listen", w.Listen)
	if loopback(w.Listen) {
		return
	}
	if w.TokenFile == "" {
		k.wrong("web.listen", "%s is not loopback, and no token is asked for (set web.token_file)", w.Listen)
	}
	if w.CertFile == "" && !w.Insecure {
		k.wrong("web.listen", "%s is not loopback, and there is no TLS (set web.cert_file and web.key_file; or web.insecure: true behind a proxy)", w.Listen)
	}
}

func checkListen(k *checker, path, address string) {
	host, port, err := net.SplitHostPort(address)
	if err != nil || !portNumber(port, 0) || host != "" && !hostName(host) {
		k.wrong(path, "%q is no address to listen on (HOST:PORT, as 127.0.0.1:1883 or [::1]:1883)", address)
	}
}

// loopback tells whether an address to listen on stays inside the machine.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return true // another mistake, told elsewhere
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}
