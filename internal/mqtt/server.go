package mqtt

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// Embedded is the value of mqtt.broker that runs a broker in the process.
const Embedded = "embedded"

// Server says where the broker is and as whom to go there.
type Server struct {
	// URL with one of the schemes mqtt, mqtts, ws, wss; see ParseServerURL.
	URL      *url.URL
	Username string
	// Password is asked for at every connect, so that a new one needs no
	// restart. Nil means none.
	Password func() (string, error)
	// TLS is used by mqtts and wss; see TLSFiles.
	TLS *tls.Config
}

// ParseServerURL reads the value of mqtt.broker: a URL with the schemes mqtt,
// mqtts, ws and wss (tcp, ssl, tls are other words for the first two). A port
// that is left out is the scheme's own. A password in it is refused: it would
// reach logs and process lists.
func ParseServerURL(s string) (*url.URL, error) {
	const right = "(embedded, or mqtt://HOST:PORT, mqtts://, ws://, wss://)"
	u, err := url.Parse(s)
	if err != nil || u.Scheme == "" || u.Opaque != "" {
		return nil, fmt.Errorf("this is no broker %s", right)
	}
	var scheme, port string
	switch u.Scheme {
	case "mqtt", "tcp":
		scheme, port = "mqtt", "1883"
	case "mqtts", "ssl", "tls":
		scheme, port = "mqtts", "8883"
	case "ws":
		scheme, port = "ws", "80"
	case "wss":
		scheme, port = "wss", "443"
	default:
		return nil, fmt.Errorf("scheme %q is not known %s", u.Scheme, right)
	}
	switch {
	case u.User != nil:
		return nil, errors.New("no user or password may stand in it (mqtt.username and mqtt.password_file)")
	case strings.Count(u.Host, ":") > 1 && !strings.HasPrefix(u.Host, "["):
		return nil, errors.New("an IPv6 address stands in brackets (mqtt://[::1]:1883)")
	case u.Hostname() == "":
		return nil, fmt.Errorf("the host is missing %s", right)
	case u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("nothing may follow ? or # %s", right)
	case (scheme == "mqtt" || scheme == "mqtts") && strings.Trim(u.Path, "/") != "":
		return nil, fmt.Errorf("a path needs ws:// or wss:// %s", right)
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.Atoi(p); err != nil || n < 1 || n > 65535 {
			return nil, fmt.Errorf("port %q (1 to 65535)", p)
		}
		port = p
	}
	return &url.URL{Scheme: scheme, Host: net.JoinHostPort(u.Hostname(), port), Path: u.Path}, nil
}

// TLSFiles makes the TLS settings of a connection to host: the system's
// authorities, or only those of caFile; certFile and keyFile where the broker
// wants to know the client. Empty names mean none. Nothing switches the check
// of the broker's certificate off.
func TLSFiles(host, caFile, certFile, keyFile string) (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host}
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("read the authorities: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read the authorities: %s has no certificate in PEM form", caFile)
		}
	}
	if certFile != "" {
		// Read at each connect: a certificate that was renewed needs no restart.
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return clientCertificate(certFile, keyFile)
		}
		if _, err := clientCertificate(certFile, keyFile); err != nil {
			return nil, err
		}
	}
	return cfg, nil
}

func clientCertificate(certFile, keyFile string) (*tls.Certificate, error) {
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("read the client's certificate: %w", err)
	}
	return &cert, nil
}

// errExpired says that a certificate does not hold at this time.
var errExpired = errors.New("a certificate is out of its time")

// expiry says so of an error that comes from it, with the dates. The broker's
// certificate is named by the error; that ours is out of its time often shows
// as a connection that broke, for the refusal comes after the handshake.
func expiry(err error, cfg *tls.Config) error {
	if cfg == nil || nobodyThere(err) {
		return err
	}
	now := time.Now()
	if cfg.Time != nil {
		now = cfg.Time()
	}
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
		return outOfTime("the broker's certificate", invalid.Cert, now, err)
	}
	if cfg.GetClientCertificate == nil {
		return err
	}
	mine, failed := cfg.GetClientCertificate(&tls.CertificateRequestInfo{})
	if failed != nil || mine.Leaf == nil || !now.Before(mine.Leaf.NotBefore) && !now.After(mine.Leaf.NotAfter) {
		return err
	}
	return outOfTime("our certificate (mqtt.cert_file)", mine.Leaf, now, err)
}

func outOfTime(whose string, cert *x509.Certificate, now time.Time, err error) error {
	when := func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") }
	return fmt.Errorf("%w: %s holds from %s to %s, and the gateway's clock says %s UTC (renew the certificate; where these dates are right, set the clock): %w",
		errExpired, whose, when(cert.NotBefore), when(cert.NotAfter), when(now), err)
}
