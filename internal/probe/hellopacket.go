package probe

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"
)

// The vendor's LAN hello, as python-broadlink documents it (protocol.md, and
// scan in broadlink/device.py). Numbers are little-endian.
const (
	helloPort        = 80
	helloRequestSize = 0x30
	helloReplySize   = 0x80 // or more: hubs add what stands behind them
	helloRequestType = 0x06
	helloReplyType   = 0x07
	helloSumStart    = 0xBEAF

	atHelloDate = 0x08 // UTC offset, year, minute, hour, year of the century, weekday, day, month
	atHelloSum  = 0x20 // over the whole packet, with these two bytes as zero
	atHelloType = 0x26
	atDevice    = 0x34
	atIP        = 0x36 // mostly last byte first
	atMAC       = 0x3A // last byte first
	atName      = 0x40 // UTF-8, up to a zero byte
	atNameEnd   = 0x7E
	atLock      = 0x7F
)

// maxName is what is kept of a device's name, in characters.
const maxName = 40

// HelloReply is what a device says of itself in answer to a hello. Nobody
// signs it: whoever is on the same network can send one.
type HelloReply struct {
	// Type is the vendor's number of the product, as 0x51e3.
	Type uint16
	// IP is the address that the device believes to have. Firmwares differ in the
	// order of its bytes (0x7544 has the first one first: home-assistant/core,
	// issue 36735), so that it is a guess; where the answer came from is in
	// Sighting.
	IP netip.Addr
	// MAC of the device, never a group's and never zero.
	MAC net.HardwareAddr
	// Name that its owner gave it: printable, without angle brackets, at most 40
	// characters.
	Name string
	// Lock is the byte at 0x7F: 1 where the device takes commands from the
	// vendor's app only, 0 where not.
	Lock byte
}

// result is the word for the lock flag. A value that the protocol does not
// know says no more than that the device answered.
func (r *HelloReply) result() string {
	switch r.Lock {
	case 0:
		return "unlocked"
	case 1:
		return "locked"
	}
	return "answered"
}

// String is the reply as evidence shows it.
func (r *HelloReply) String() string {
	s := fmt.Sprintf("%s, type 0x%04x", r.MAC, r.Type)
	if r.Name != "" {
		s += fmt.Sprintf(", %q", r.Name)
	}
	return s
}

// HelloRequest is the one packet that is ever sent to a device. The device
// answers to where it came from, so that address and port in it stay zero; the
// date is there because the vendor's own clients send one.
func HelloRequest(now time.Time) []byte {
	now = now.UTC()
	p := make([]byte, helloRequestSize)
	weekday := (int(now.Weekday()) + 6) % 7 // Monday is 0 here and 1 there
	date := p[atHelloDate:]                 // the offset to UTC stays 0
	binary.LittleEndian.PutUint16(date[4:], uint16(now.Year()))
	copy(date[6:], []byte{
		byte(now.Minute()), byte(now.Hour()), byte(now.Year() % 100),
		byte(weekday + 1), byte(now.Day()), byte(now.Month()),
	})
	p[atHelloType] = helloRequestType
	binary.LittleEndian.PutUint16(p[atHelloSum:], helloSum(p))
	return p
}

// ParseHello reads the answer to a hello. It refuses, with what would be right,
// whatever is too short, of another type, damaged, or from no device's MAC.
func ParseHello(p []byte) (HelloReply, error) {
	if len(p) < helloReplySize {
		return HelloReply{}, fmt.Errorf("hello reply: %d bytes (%d or more)", len(p), helloReplySize)
	}
	if kind := binary.LittleEndian.Uint16(p[atHelloType:]); kind != helloReplyType {
		return HelloReply{}, fmt.Errorf("hello reply: packet type 0x%02x (0x%02x)", kind, helloReplyType)
	}
	if is, want := binary.LittleEndian.Uint16(p[atHelloSum:]), helloSum(p); is != want {
		return HelloReply{}, fmt.Errorf("hello reply: checksum 0x%04x (0x%04x)", is, want)
	}
	r := HelloReply{
		Type: binary.LittleEndian.Uint16(p[atDevice:]),
		IP:   readIP([4]byte(p[atIP:])),
		Name: printable(p[atName:atNameEnd]),
		Lock: p[atLock],
	}
	r.MAC = net.HardwareAddr{p[atMAC+5], p[atMAC+4], p[atMAC+3], p[atMAC+2], p[atMAC+1], p[atMAC]}
	if isNobody(r.MAC) {
		return HelloReply{}, fmt.Errorf("hello reply: MAC %s (a device's own)", r.MAC)
	}
	return r, nil
}

// readIP takes the last byte first, as most firmwares do, unless only the other
// way gives an address that a LAN has.
func readIP(b [4]byte) netip.Addr {
	straight := netip.AddrFrom4(b)
	slices.Reverse(b[:])
	if a := netip.AddrFrom4(b); a.IsPrivate() || !straight.IsPrivate() {
		return a
	}
	return straight
}

// isNobody knows the MACs that no single device has: zero, and those of groups
// (the lowest bit of the first byte, IEEE 802).
func isNobody(mac net.HardwareAddr) bool {
	return mac[0]&1 == 1 || mac.String() == "00:00:00:00:00:00"
}

// helloSum adds all bytes but the sum's own to the start value, modulo 2^16.
func helloSum(p []byte) uint16 {
	sum := uint16(helloSumStart)
	for i, b := range p {
		if i != atHelloSum && i != atHelloSum+1 {
			sum += uint16(b)
		}
	}
	return sum
}

// printable makes a name harmless: what comes from the network is shown on
// terminals and pages.
func printable(name []byte) string {
	s, _, _ := strings.Cut(string(name), "\x00")
	s = strings.ToValidUTF8(s, "")
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == '<' || r == '>' {
			return -1
		}
		return r
	}, s)
	if rs := []rune(strings.TrimSpace(s)); len(rs) > maxName {
		return strings.TrimSpace(string(rs[:maxName]))
	}
	return strings.TrimSpace(s)
}

// readMAC reads a MAC as inventories and payloads write it: with colons,
// dashes, dots or nothing between; nil for the empty string.
func readMAC(s string) (net.HardwareAddr, error) {
	if s == "" {
		return nil, nil
	}
	digits := strings.NewReplacer(":", "", "-", "", ".", "").Replace(s)
	mac, err := hex.DecodeString(digits)
	if err != nil || len(mac) != 6 {
		return nil, fmt.Errorf("%q is no MAC (as 34:ea:34:00:00:01)", s)
	}
	return mac, nil
}
