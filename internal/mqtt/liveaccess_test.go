package mqtt

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	broker "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"

	"fieldmedic/test/mosquitto"
)

func TestLivePassword(t *testing.T) {
	l := startLive(t, mosquitto.Options{Users: map[string]string{"agent": "right"}})
	l.proxy = startProxy(t, l.broker.Address())
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("wrong"), 0o600); err != nil {
		t.Fatal(err)
	}
	l.change = func(l *live) {
		server := Server{URL: l.opts.Server.URL, Username: "agent", Password: func() (string, error) {
			content, err := os.ReadFile(file)
			return string(content), err
		}}
		l.opts.Server, l.inOpts.Server = server, server
	}
	l.tune = func(l *live) {
		l.in.link.pace.refused, l.out.link.pace.refused = 200*time.Millisecond, 200*time.Millisecond
	}
	stop := l.run(statusSource(t))
	eventually(t, "the refusal is named", func() bool {
		return l.in.State().State == LinkAuthFailed && l.out.State().State == LinkAuthFailed
	})
	time.Sleep(500 * time.Millisecond)
	if n := l.proxy.connections(); n > 2*5 {
		t.Errorf("%d connections in half a second: hammering", n)
	}
	if err := os.WriteFile(file, []byte("right"), 0o600); err != nil {
		t.Fatal(err)
	}
	l.standing() // the file is read anew
	stop()
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	l.run(statusSource(t))
	eventually(t, "a password that cannot be read is told", func() bool {
		return strings.Contains(l.in.State().Detail, "password") && l.in.State().State == LinkUnreachable
	})
}

// authority makes certificates.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newAuthority(t *testing.T, name string) *authority {
	a := &authority{t: t, dir: t.TempDir()}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	a.key = newKey(t)
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.file = a.write("ca.pem", "CERTIFICATE", der)
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (a *authority) write(name, kind string, der []byte) string {
	a.t.Helper()
	file := filepath.Join(a.dir, name)
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return file
}

// issue makes a certificate for a name or address that ends at a time.
func (a *authority) issue(name string, end time.Time) (certFile, keyFile string) {
	a.t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: end, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{name}
	}
	key := newKey(a.t)
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	return a.write(name+".pem", "CERTIFICATE", der), a.write(name+".key", "PRIVATE KEY", keyDER)
}

// startTLS runs a Mosquitto that speaks TLS, on the address that is answered.
func startTLS(t *testing.T, ca *authority, certFile, keyFile string, more ...string) (*mosquitto.Broker, string) {
	t.Helper()
	port, err := mosquitto.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	lines := append([]string{
		fmt.Sprintf("listener %d 127.0.0.1", port), "cafile " + ca.file, "certfile " + certFile, "keyfile " + keyFile,
	}, more...)
	return startBroker(t, mosquitto.Options{Lines: lines}), fmt.Sprintf("127.0.0.1:%d", port)
}

// connectTLS runs an agent on a TLS listener.
func connectTLS(t *testing.T, b *mosquitto.Broker, address, caFile, certFile, keyFile string) *live {
	t.Helper()
	l := newLive(t, b)
	l.change = func(l *live) {
		u := brokerURL(t, "mqtts://"+address)
		cfg, err := TLSFiles(u.Hostname(), caFile, certFile, keyFile)
		if err != nil {
			t.Fatal(err)
		}
		l.opts.Server = Server{URL: u, TLS: cfg, Username: "agent", Password: func() (string, error) { return "in-no-plain-text", nil }}
		l.inOpts.Server = l.opts.Server
	}
	l.run(statusSource(t))
	return l
}

func TestLiveTLS(t *testing.T) {
	ca, other := newAuthority(t, "ours"), newAuthority(t, "another")
	later := time.Now().Add(time.Hour)
	certFile, keyFile := ca.issue("127.0.0.1", later)
	b, address := startTLS(t, ca, certFile, keyFile)
	connectTLS(t, b, address, ca.file, "", "").standing()

	failing := func(what string, l *live) {
		t.Helper()
		eventually(t, what, func() bool {
			return l.in.State().State == LinkTLSFailed && l.out.State().State == LinkTLSFailed && l.in.State().Detail != ""
		})
	}
	failing("an authority that did not sign", connectTLS(t, b, address, other.file, "", ""))
	certFile, keyFile = ca.issue("broker.example", later)
	b, address = startTLS(t, ca, certFile, keyFile)
	failing("another name", connectTLS(t, b, address, ca.file, "", ""))
	certFile, keyFile = ca.issue("127.0.0.1", later)
	b, address = startTLS(t, ca, certFile, keyFile, "require_certificate true", "use_identity_as_username true")
	// In TLS 1.3 the broker's refusal comes after the handshake, and where it
	// closes before we have read it, the system throws it away: then the state
	// can only say that the connection broke.
	without := connectTLS(t, b, address, ca.file, "", "")
	eventually(t, "no certificate of ours", func() bool {
		for _, state := range []LinkState{without.in.State().State, without.out.State().State} {
			if state != LinkTLSFailed && state != LinkUnreachable {
				return false
			}
		}
		return without.in.State().Detail != ""
	})
	mine, mineKey := ca.issue("agent", later)
	connectTLS(t, b, address, ca.file, mine, mineKey).standing()
}

// TestTLSFailureSaysNothing is a broker that speaks no TLS, or with a
// certificate that does not hold: it must never get to see a CONNECT.
func TestTLSFailureSaysNothing(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var heard []byte
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.SetDeadline(time.Now().Add(100 * time.Millisecond))
			buffer := make([]byte, 4096)
			n, _ := conn.Read(buffer)
			_, _ = conn.Write([]byte("\x20\x02\x00\x00 I speak no TLS"))
			_ = conn.Close()
			mu.Lock()
			heard = append(heard, buffer[:n]...)
			mu.Unlock()
		}
	})
	t.Cleanup(wg.Wait)
	t.Cleanup(func() { _ = l.Close() })
	agent := connectTLS(t, nil, l.Addr().String(), "", "", "")
	eventually(t, "it is named", func() bool { return agent.in.State().State == LinkTLSFailed })
	mu.Lock()
	defer mu.Unlock()
	if len(heard) == 0 || heard[0] != 0x16 || strings.Contains(string(heard), "plain-text") || strings.Contains(string(heard), "MQTT") {
		t.Errorf("heard %q", heard)
	}
}

func TestLiveWebSocket(t *testing.T) {
	server := broker.New(&broker.Options{Logger: slog.New(slog.DiscardHandler)})
	if err := server.AddHook(&gate{clients: server.Clients, log: slog.New(slog.DiscardHandler)}, nil); err != nil {
		t.Fatal(err)
	}
	port, err := mosquitto.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	if err := server.AddListener(listeners.NewWebsocket(listeners.Config{ID: "ws", Address: address})); err != nil {
		t.Fatal(err)
	}
	if err := server.Serve(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	l := newLive(t, nil)
	l.change = func(l *live) {
		l.opts.Server = Server{URL: brokerURL(t, "ws://"+address+"/mqtt")}
		l.inOpts.Server = l.opts.Server
	}
	l.connect(statusSource(t))
	app := newApp(t, "ws://"+address, "app")
	app.publish("devices/a/status", 1, false, strings.Repeat("x", MaxPacket+1))
	app.publish("devices/a/status", 1, false, `{"status":-8}`)
	for {
		if d := l.next(); d.Observation != nil && d.Observation.Key.Code == -8 {
			d.Ack()
			return
		}
	}
}
