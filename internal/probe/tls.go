package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"
)

// Results of tls. Rules know all but the last.
const (
	tlsOK          = "ok"
	tlsExpired     = "expired"
	tlsNotYetValid = "not-yet-valid"
	tlsUnknown     = "unknown-authority" // or a chain that does not hold for another reason
	tlsWrongName   = "wrong-name"
	tlsReset       = "reset"   // the handshake was cut or refused
	tlsTimeout     = "timeout" // of the handshake: connecting is the tcp probe's
	tlsNotTLS      = "not-tls" // something else answers on the port
)

// tls makes one connection and shakes hands, with the whole verification; there
// is no way to do without. It proves what this gateway's trust store says, at
// this gateway's time. When no connection comes about it cannot tell: that is
// for the tcp probe to say.
func (s Site) tls(ctx context.Context, t Target) Answer {
	address, answer := s.server(TLS, t)
	if answer != nil {
		return *answer
	}
	conn, err := s.dialer().DialContext(ctx, "tcp", address)
	if err != nil {
		_, why := connectFailure(err)
		return cannotTell(TLS, address, "no connection: "+why, tlsOK)
	}
	defer conn.Close() //nolint:errcheck // nothing was written that could be lost
	host, _ := splitAddress(address)
	client := tls.Client(conn, s.tlsConfig(host))
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	err = client.HandshakeContext(ctx)
	if err == nil {
		leaf := client.ConnectionState().PeerCertificates[0]
		return found(TLS, address, tlsOK, tlsOK+", "+daysLeft(leaf, s.Now()), tlsOK)
	}
	result, seen := handshakeFailure(err, s.Now())
	if result == "" {
		return cannotTell(TLS, address, seen, tlsOK)
	}
	return found(TLS, address, result, seen, tlsOK)
}

func (s Site) tlsConfig(host string) *tls.Config {
	return &tls.Config{ServerName: host, RootCAs: s.Roots, MinVersion: tls.VersionTLS12, Time: s.Now}
}

// handshakeFailure is the class of a failed handshake, and what was seen.
func handshakeFailure(err error, now time.Time) (result, seen string) {
	var unverified *tls.CertificateVerificationError
	var alert tls.AlertError
	var header tls.RecordHeaderError
	var operation *net.OpError
	switch {
	case errors.Is(err, context.Canceled):
		return "", "it was stopped"
	case errors.As(err, &unverified):
		return certificateFailure(unverified, now)
	case errors.As(err, &header):
		return tlsNotTLS, "the answer is no TLS"
	case isTimeout(err):
		return tlsTimeout, "connected, but no handshake"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return tlsReset, "connection cut in the handshake"
	case errors.As(err, &alert):
		return tlsReset, "handshake refused: " + alert.Error()
	case errors.As(err, &operation) && operation.Op == "remote error":
		return tlsReset, "handshake refused: " + operation.Err.Error()
	}
	return "", "the handshake failed: " + shorten(err.Error())
}

// certificateFailure says why a certificate does not hold.
func certificateFailure(err *tls.CertificateVerificationError, now time.Time) (result, seen string) {
	leaf := &x509.Certificate{}
	if len(err.UnverifiedCertificates) > 0 {
		leaf = err.UnverifiedCertificates[0]
	}
	var invalid x509.CertificateInvalidError
	var name x509.HostnameError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &name):
		return tlsWrongName, "the certificate is for " + namesOf(leaf)
	case errors.As(err, &unknown):
		return tlsUnknown, "signed by an authority that this gateway does not trust, " + daysLeft(leaf, now)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		// The one that is out of its time may stand anywhere in the chain.
		cert := invalid.Cert
		if cert == nil {
			cert = leaf
		}
		if now.Before(cert.NotBefore) {
			return tlsNotYetValid, fmt.Sprintf("valid from %s, in %s", day(cert.NotBefore), days(cert.NotBefore.Sub(now)))
		}
		return tlsExpired, fmt.Sprintf("expired on %s, %s ago", day(cert.NotAfter), days(now.Sub(cert.NotAfter)))
	}
	return tlsUnknown, "the chain does not hold: " + shorten(innermost(err).Error())
}

// daysLeft is how long a certificate will hold.
func daysLeft(cert *x509.Certificate, now time.Time) string {
	return days(cert.NotAfter.Sub(now)) + " left"
}

func days(d time.Duration) string {
	const aDay = 24 * time.Hour
	switch n := int(d / aDay); n {
	case 0:
		return "less than a day"
	case 1:
		return "1 day"
	default:
		return fmt.Sprintf("%d days", n)
	}
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// namesOf quotes the first names of a certificate: whoever made it chose them.
func namesOf(cert *x509.Certificate) string {
	const most = 3
	names := cert.DNSNames
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		return "no name at all"
	}
	quoted := make([]string, 0, most)
	for _, n := range names[:min(len(names), most)] {
		quoted = append(quoted, fmt.Sprintf("%q", shorten(n)))
	}
	text := strings.Join(quoted, ", ")
	if len(names) > most {
		text += " and others"
	}
	return text
}

// shorten bounds foreign text.
func shorten(text string) string {
	const most = 80
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return text
}
