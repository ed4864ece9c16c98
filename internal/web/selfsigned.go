package web

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// selfSignedFile holds certificate and key in the state directory.
const selfSignedFile = "web-self-signed.pem"

// selfSignedFor is how long a certificate is good: the longest that Apple's
// systems accept of a server (825 days), for each new one must be compared by
// eye again. It is made anew at a start in its last month.
const (
	selfSignedFor  = 825 * 24 * time.Hour
	selfSignedLast = 30 * 24 * time.Hour
)

// SelfSigned returns the certificate of the page for where none is configured,
// and its SHA-256 fingerprint as browsers show it. It is kept in dir, readable
// by us only, and made anew when it ends soon or was made for other hosts
// (names or addresses; localhost and the host name need not be among them).
func SelfSigned(dir string, hosts []string) (cert tls.Certificate, fingerprint string, err error) {
	return selfSigned(dir, hosts, time.Now())
}

func selfSigned(dir string, hosts []string, now time.Time) (tls.Certificate, string, error) {
	file := filepath.Join(dir, selfSignedFile)
	names := certNames(hosts)
	cert, err := loadSelfSigned(file)
	if err != nil || !stillGood(cert.Leaf, names, now) {
		if cert, err = makeSelfSigned(file, names, now); err != nil {
			return tls.Certificate{}, "", fmt.Errorf("make a certificate for the page: %w", err)
		}
	}
	return cert, fingerprintOf(cert.Certificate[0]), nil
}

// certNames are the names and addresses that a certificate is for, in order.
func certNames(hosts []string) []string {
	set := ownNames(hosts)
	set["127.0.0.1"], set["::1"] = true, true
	var names []string
	for name := range set {
		if ip := net.ParseIP(name); ip != nil {
			name = ip.String()
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func stillGood(leaf *x509.Certificate, names []string, now time.Time) bool {
	has := slices.Clone(leaf.DNSNames)
	for _, ip := range leaf.IPAddresses {
		has = append(has, ip.String())
	}
	slices.Sort(has)
	return slices.Equal(has, names) && now.After(leaf.NotBefore) && now.Add(selfSignedLast).Before(leaf.NotAfter)
}

// loadSelfSigned reads the kept one. A file that others may read is not
// trusted any more.
func loadSelfSigned(file string) (tls.Certificate, error) {
	f, err := os.Stat(file)
	if err != nil {
		return tls.Certificate{}, err
	}
	if f.Mode().Perm()&0o077 != 0 {
		return tls.Certificate{}, fs.ErrPermission
	}
	return tls.LoadX509KeyPair(file, file)
}

func makeSelfSigned(file string, names []string, now time.Time) (tls.Certificate, error) {
	var none tls.Certificate
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return none, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return none, err
	}
	template := x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "Fieldmedic"},
		NotBefore:    now.Add(-24 * time.Hour), // a phone's clock may be behind
		NotAfter:     now.Add(selfSignedFor - 24*time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		// No authority: who trusts it trusts this page and no other.
		BasicConstraintsValid: true,
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		return none, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return none, err
	}
	text := slices.Concat(
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
	if err := writeSecret(file, text); err != nil {
		return none, err
	}
	return tls.X509KeyPair(text, text)
}

// writeSecret replaces a file as a whole, readable by us only.
func writeSecret(file string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(file), ".web-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// fingerprintOf writes the SHA-256 of a certificate as browsers do.
func fingerprintOf(der []byte) string {
	sum := sha256.Sum256(der)
	pairs := make([]string, len(sum))
	for i, b := range sum {
		pairs[i] = fmt.Sprintf("%02X", b)
	}
	return strings.Join(pairs, ":")
}
