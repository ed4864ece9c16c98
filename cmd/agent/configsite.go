package main

import (
	"net"
	"net/netip"
	"strconv"
	"strings"

	"fieldmedic/internal/mqtt"
)

// maxInventory is the number of devices that the agent serves (contract
// section 3).
const maxInventory = 10_000

func (c *Config) checkSite(k *checker) {
	for i, r := range c.Site.Resolvers {
		checkResolver(k, item("site.resolvers", i), r)
	}
	noRepeats(k, "site.resolvers", c.Site.Resolvers)
	if c.Site.ReferenceResolver != "" {
		checkResolver(k, "site.reference_resolver", c.Site.ReferenceResolver)
	}
	for i, h := range c.Site.CloudHosts {
		if !cloudHost(h) {
			k.wrong(item("site.cloud_hosts", i), "%s is no host (HOST or HOST:PORT)", quote(h))
		}
	}
	noRepeats(k, "site.cloud_hosts", c.Site.CloudHosts)
	if len(c.Site.Devices) > maxInventory {
		k.wrong("site.devices", "%d devices are more than can be served (%d at most)", len(c.Site.Devices), maxInventory)
	}
	seen := map[string]bool{}
	for i, d := range c.Site.Devices {
		path := item("site.devices", i)
		if seen[d.ID] && d.ID != "" {
			k.wrong(path+".id", "%s is there twice (once)", quote(d.ID))
		}
		seen[d.ID] = true
		d.check(k, path)
	}
}

func (d *DeviceConfig) check(k *checker, path string) {
	if !mqtt.ValidID(d.ID) {
		k.wrong(path+".id", "%s cannot be a device's id (1 to %d bytes without /, +, # and control characters)", quote(d.ID), mqtt.MaxID)
	}
	if d.Address != "" && !hostName(d.Address) {
		k.wrong(path+".address", "%s is no address (an IP address or a host name)", quote(d.Address))
	}
	if d.MAC == "" {
		return
	}
	if mac, err := net.ParseMAC(d.MAC); err != nil || len(mac) != 6 {
		k.wrong(path+".mac", "%s is no MAC address (as 34:ea:34:00:00:01)", quote(d.MAC))
	}
}

func checkResolver(k *checker, path, r string) {
	if _, err := netip.ParseAddr(r); err == nil {
		return
	}
	if at, err := netip.ParseAddrPort(r); err != nil || at.Port() == 0 {
		k.wrong(path, "%s is no resolver (an IP address, or IP:PORT; [IP]:PORT for IPv6)", quote(r))
	}
}

// cloudHost tells whether s is a host with or without a port.
func cloudHost(s string) bool {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return hostName(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	}
	return hostName(host) && portNumber(port, 1)
}

// hostName tells whether s is an IP address or may be a host's name (RFC 1123,
// 2.1; underscores too, which local names have).
func hostName(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	if s == "" || len(s) > 253 {
		return false
	}
	last := ""
	for label := range strings.SplitSeq(strings.TrimSuffix(s, "."), ".") {
		if !hostLabel(label) {
			return false
		}
		last = label
	}
	// Digits at the end are a mistyped address: no top-level domain is a number.
	return strings.Trim(last, "0123456789") != ""
}

func hostLabel(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
}

func portNumber(s string, least int) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n >= least && n <= 65535 && strconv.Itoa(n) == s
}
