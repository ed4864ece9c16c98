package main

import (
	"crypto/tls"
	"net"
	"net/netip"
	"os"
	"os/user"
	"strconv"

	"fieldmedic/internal/mqtt"
)

func (c *Config) checkWeb(k *checker) {
	w := &c.Web
	checkSecretFile(k, "web.token_file", w.TokenFile)
	checkKeyPair(k, "web", w.CertFile, w.KeyFile)
	if w.SocketGroup != "" && !groupKnown(w.SocketGroup) {
		k.wrong("web.socket_group", "there is no group %s on this machine (the name or number of one)", quote(w.SocketGroup))
	}
	if w.Listen == "" {
		return
	}
	checkListen(k, "web.listen", w.Listen)
	if w.TokenFile == "" && !loopback(w.Listen) && k.known("web.token_file") {
		k.wrong("web.listen", "%s is not loopback, and no token is asked for (set web.token_file)", quote(w.Listen))
	}
}

// groupKnown tells whether a group can be given something: by its name, or by a
// number, which needs no entry.
func groupKnown(group string) bool {
	if gid, err := strconv.Atoi(group); err == nil {
		return gid >= 0
	}
	_, err := user.LookupGroup(group)
	return err == nil
}

func checkListen(k *checker, path, address string) {
	host, port, err := net.SplitHostPort(address)
	if err != nil || !portNumber(port, 0) || host != "" && !hostName(host) {
		k.wrong(path, "%s is no address to listen on (HOST:PORT, as 127.0.0.1:8420 or [::1]:8420)", quote(address))
	}
}

// loopback tells whether an address to listen on stays inside the machine. What
// is no address at all is another mistake, and told as that.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil || host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// checkFile tells whether a file can be read. It must be a plain one: opening
// a pipe would wait for somebody to write.
func checkFile(k *checker, path, file string) bool {
	info, err := os.Stat(file)
	if err != nil {
		k.wrong(path, "%s %v (a file that the service may read)", file, plainFileError(err))
		return false
	}
	if !info.Mode().IsRegular() {
		k.wrong(path, "%s is no plain file (a file that the service may read)", file)
		return false
	}
	f, err := os.Open(file)
	if err != nil {
		k.wrong(path, "%s %v (a file that the service may read)", file, plainFileError(err))
		return false
	}
	_ = f.Close() // only opened to see that it can be
	return true
}

// checkSecretFile also refuses a file that everybody on the machine may read,
// and an empty one, which protects nothing.
func checkSecretFile(k *checker, path, file string) {
	if file == "" || !checkFile(k, path, file) {
		return
	}
	info, err := os.Stat(file)
	switch {
	case err != nil:
		k.wrong(path, "%s %v (a file that the service may read)", file, plainFileError(err))
	case info.Mode().Perm()&0o006 != 0:
		k.wrong(path, "%s may be read or written by everybody on this machine (chmod o-rw %s)", file, file)
	case info.Size() == 0:
		k.wrong(path, "%s is empty (the secret in it)", file)
	}
}

func checkAuthorities(k *checker, path, file string) {
	if file == "" || !checkFile(k, path, file) {
		return
	}
	if _, err := mqtt.TLSFiles("", file, "", ""); err != nil {
		k.wrong(path, "%s holds no certificate (certificates in PEM form)", file)
	}
}

// checkKeyPair judges a certificate and its key, which come together.
func checkKeyPair(k *checker, section, cert, key string) {
	certPath, keyPath := section+".cert_file", section+".key_file"
	if !k.known(certPath, keyPath) {
		return
	}
	switch {
	case cert == "" && key == "":
		return
	case key == "":
		k.wrong(keyPath, "there is a certificate and no key (set both)")
		return
	case cert == "":
		k.wrong(certPath, "there is a key and no certificate (set both)")
		return
	}
	certFits, keyFits := checkFile(k, certPath, cert), checkFile(k, keyPath, key)
	if !certFits || !keyFits {
		return
	}
	if _, err := tls.LoadX509KeyPair(cert, key); err != nil {
		k.wrong(certPath, "%v (a certificate in PEM form, and in %s its key)", err, keyPath)
	}
}
