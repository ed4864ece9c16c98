package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"fieldmedic/internal/diagnose"
	"fieldmedic/internal/mqtt"
)

// maxClientID leaves room for fieldmedic-<gateway>-<8 hex>, and for the -out of
// the second connection. MQTT itself allows 65,535 bytes, and demands of
// brokers that they take 23 (MQTT 3.1.1, 3.1.3.1).
const maxClientID = 160

func (c *Config) checkMQTT(k *checker) {
	m := &c.MQTT
	encrypted := c.checkBroker(k)
	checkListen(k, "mqtt.listen", m.Listen)
	if len(m.ClientID) > maxClientID || !utf8.ValidString(m.ClientID) || strings.ContainsFunc(m.ClientID, unicode.IsControl) {
		k.wrong("mqtt.client_id", "%s cannot be a client id (1 to %d bytes without control characters)", quote(m.ClientID), maxClientID)
	}
	if strings.ContainsFunc(m.Username, unicode.IsControl) {
		k.wrong("mqtt.username", "%s holds a control character (printable ones)", quote(m.Username))
	}
	checkSecretFile(k, "mqtt.password_file", m.PasswordFile)
	c.checkLogin(k)
	checkAuthorities(k, "mqtt.ca_file", m.CAFile)
	checkKeyPair(k, "mqtt", m.CertFile, m.KeyFile)
	for _, f := range []struct{ path, file string }{{"mqtt.ca_file", m.CAFile}, {"mqtt.cert_file", m.CertFile}} {
		if f.file != "" && !encrypted && k.known("mqtt.broker") {
			k.wrong(f.path, "the connection to mqtt.broker is not encrypted, so this protects nothing (mqtts:// or wss://)")
		}
	}
	if err := mqtt.CheckBase(m.BaseTopic); err != nil {
		k.wrong("mqtt.base_topic", "%v", err)
		k.found.forget("mqtt.base_topic") // what is below it cannot be told
	}
	var verbs []string
	for _, v := range diagnose.Verbs() {
		verbs = append(verbs, string(v))
	}
	for i, verb := range m.Requests {
		oneOf(k, item("mqtt.requests", i), verb, verbs...)
	}
	noRepeats(k, "mqtt.requests", m.Requests)
}

// checkBroker tells whether the connection will be encrypted. What is wrong is
// said without the value: there may be a password in it.
func (c *Config) checkBroker(k *checker) (encrypted bool) {
	m := &c.MQTT
	if m.Broker == mqtt.Embedded {
		return false
	}
	server, err := mqtt.ParseServerURL(m.Broker)
	switch {
	case err == nil:
		return server.Scheme == "mqtts" || server.Scheme == "wss"
	case strings.Contains(m.Broker, "@"):
		// Also where the URL is so broken that its parts cannot be told apart.
		k.wrong("mqtt.broker", "no user name or password may stand in it (mqtt.username and mqtt.password_file)")
	default:
		k.wrong("mqtt.broker", "%v", err)
	}
	return strings.HasPrefix(m.Broker, "mqtts:") || strings.HasPrefix(m.Broker, "wss:")
}

// checkLogin judges user name and password together, and with who may come to
// the embedded broker.
func (c *Config) checkLogin(k *checker) {
	m := &c.MQTT
	if !k.known("mqtt.username", "mqtt.password_file", "mqtt.broker", "mqtt.listen") {
		return
	}
	embedded := m.Broker == mqtt.Embedded
	switch {
	case m.Username == "" && m.PasswordFile != "":
		k.wrong("mqtt.username", "there is a password and no user name (set both)")
	case embedded && m.Username != "" && m.PasswordFile == "":
		k.wrong("mqtt.password_file", "there is a user name and no password (set both)")
	case embedded && m.Username == "" && !loopback(m.Listen):
		k.wrong("mqtt.listen", "%s is not loopback, and no password is asked for (set mqtt.username and mqtt.password_file)", quote(m.Listen))
	}
}

func (c *Config) checkSources(k *checker) {
	if len(c.Sources) == 0 {
		k.wrong("sources", "the list is empty (at least one source)")
	}
	for i, s := range c.Sources {
		path := item("sources", i)
		source, err := mqtt.NewSource(s.Name, s.Topic, mqtt.Format(s.Format), s.ExpectEvery)
		for _, m := range sourceMistakes(err) {
			k.wrong(path+"."+m.Key, "%s", m.Text)
		}
		if slices.ContainsFunc(c.Sources[:i], func(o SourceConfig) bool { return o.Name == s.Name && s.Name != "" }) {
			k.wrong(path+".name", "%s is there twice (a name of its own)", quote(s.Name))
		}
		if source != nil && mqtt.Overlap(source.Filter(), c.MQTT.BaseTopic) && k.known("mqtt.base_topic") {
			k.wrong(path+".topic", "%s overlaps mqtt.base_topic %s, where the agent would read what it writes itself (a topic beside it)",
				quote(s.Topic), quote(c.MQTT.BaseTopic))
		}
	}
}

// sourceMistakes takes the error of mqtt.NewSource apart.
func sourceMistakes(err error) []*mqtt.SourceMistake {
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		return nil
	}
	var mistakes []*mqtt.SourceMistake
	for _, e := range joined.Unwrap() {
		if m, ok := errors.AsType[*mqtt.SourceMistake](e); ok {
			mistakes = append(mistakes, m)
		}
	}
	return mistakes
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
