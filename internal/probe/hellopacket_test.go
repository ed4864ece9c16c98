package probe

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

// Replies of real devices, as their users published them: a locked plug
// (home-assistant/core, issue 36735) and an unlocked hub, which sends more than
// the 128 bytes and no magic (home-assistant/core, issue 63853).
const (
	seenLocked = "5aa5aa555aa5aa55000000000000000000000000000000000000000000000000" +
		"c4d60000447507000000f3d66142f7c8000000004475c0a80130f3d66142f7c8" +
		"e699bae883bde68f92e5baa70000000000000000000000000000000000000000" +
		"0000000000000000000000000000000000000000000000000000000000000201"
	seenHub = "0000000000000000000000000000000000000000000000000000000000000000" +
		"24d200000000070000000000000000000913253a8b610b58a8c0913500b043a0" +
		"536d61727420506c756720320000000000000000000000000000000000000000" +
		"0000000000000000000000000000000000000000000000000000000000000200" +
		"459a9a4502000000cad43652520b00000200a043b02ff819a043b00027fe"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestHelloRequest: the request is that of python-broadlink in the same issue,
// but for the offset to UTC and for the sender's address, which may be zero.
func TestHelloRequest(t *testing.T) {
	const want = "0000000000000000" + "00000000e407111014010f06" + "000000000000000000000000" +
		"ebbf00000000" + "06000000000000000000"
	at := time.Date(2020, 6, 15, 18, 17, 59, 0, time.FixedZone("", 2*3600))
	if got := hex.EncodeToString(HelloRequest(at)); got != want {
		t.Errorf("request\n%s, want\n%s", got, want)
	}
	if sunday := HelloRequest(time.Date(2020, 6, 14, 0, 0, 0, 0, time.UTC)); sunday[0x11] != 7 {
		t.Errorf("Sunday is day %d, want 7", sunday[0x11])
	}
}

func TestParseHello(t *testing.T) {
	tests := []struct {
		packet, text, result string
		ip                   string
	}{
		{seenLocked, `c8:f7:42:61:d6:f3, type 0x7544, "智能插座"`, "locked", "192.168.1.48"},
		{seenHub, `a0:43:b0:00:35:91, type 0x618b, "Smart Plug 2"`, "unlocked", "192.168.88.11"},
	}
	for _, test := range tests {
		got, err := ParseHello(unhex(t, test.packet))
		if err != nil {
			t.Errorf("%s: %v", test.text, err)
			continue
		}
		if got.String() != test.text || got.result() != test.result || got.IP != netip.MustParseAddr(test.ip) {
			t.Errorf("got %s, %s, %s, want %s, %s, %s", &got, got.result(), got.IP, test.text, test.result, test.ip)
		}
	}
}

// changed is the locked plug's reply with some bytes changed and the checksum
// made right again.
func changed(t testing.TB, change func(p []byte)) []byte {
	t.Helper()
	p := unhex(t, seenLocked)
	change(p)
	sum := helloSum(p)
	p[0x20], p[0x21] = byte(sum), byte(sum>>8)
	return p
}

func TestParseHelloRefuses(t *testing.T) {
	tests := []struct {
		packet []byte
		want   string
	}{
		{nil, "hello reply: 0 bytes (128 or more)"},
		{unhex(t, seenLocked)[:127], "hello reply: 127 bytes (128 or more)"},
		{unhex(t, seenHub)[:128], "hello reply: checksum 0xd224 (0xc854)"},
		{changed(t, func(p []byte) { p[0x26] = 0xEE; p[0x27] = 3 }), "hello reply: packet type 0x3ee (0x07)"},
		{changed(t, func(p []byte) { copy(p[0x3A:], make([]byte, 6)) }), "hello reply: MAC 00:00:00:00:00:00 (a device's own)"},
		{changed(t, func(p []byte) { p[0x3F] = 0xFF }), "hello reply: MAC ff:f7:42:61:d6:f3 (a device's own)"},
	}
	for _, test := range tests {
		if _, err := ParseHello(test.packet); err == nil || err.Error() != test.want {
			t.Errorf("got %v, want %s", err, test.want)
		}
	}
}

// TestHelloLock: a flag that the protocol does not know is not read as one that
// it does.
func TestHelloLock(t *testing.T) {
	for flag, want := range map[byte]string{0: "unlocked", 1: "locked", 2: "answered", 0xFF: "answered"} {
		r, err := ParseHello(changed(t, func(p []byte) { p[0x7F] = flag }))
		if err != nil || r.result() != want || r.Lock != flag {
			t.Errorf("flag %d: %s, %v, want %s", flag, r.result(), err, want)
		}
	}
}

func TestHelloDeviceName(t *testing.T) {
	for name, want := range map[string]string{
		"plug":                          "plug",
		"<b>plug</b>":                   "bplug/b",
		"  a b\t\r\n":                   "a b",
		"\x1b[31mred\x07":               "[31mred",
		"cut\x00here":                   "cut",
		"caf\xe9":                       "caf",
		"\u202eevil\u200b":              "evil",
		"\x00":                          "",
		strings.Repeat("x", 62):         strings.Repeat("x", 40),
		strings.Repeat("热", 20) + "xyz": strings.Repeat("热", 20) + "xy",
	} {
		r, err := ParseHello(changed(t, func(p []byte) {
			copy(p[0x40:0x7E], make([]byte, 0x3E))
			copy(p[0x40:0x7E], name)
		}))
		if err != nil || r.Name != want {
			t.Errorf("%q: %q, %v, want %q", name, r.Name, err, want)
		}
	}
}

func TestReadMAC(t *testing.T) {
	for _, s := range []string{"34:ea:34:00:00:01", "34-EA-34-00-00-01", "34ea34000001", "34ea.3400.0001"} {
		if mac, err := readMAC(s); err != nil || mac.String() != "34:ea:34:00:00:01" {
			t.Errorf("%q: %s, %v", s, mac, err)
		}
	}
	if mac, err := readMAC(""); mac != nil || err != nil {
		t.Errorf("the empty MAC: %s, %v", mac, err)
	}
	for _, s := range []string{"34:ea:34", "34:ea:34:00:00:0g", "02:00:5e:10:00:00:00:01", "plug"} {
		if mac, err := readMAC(s); err == nil {
			t.Errorf("%q is read as %s", s, mac)
		}
	}
}

// FuzzParseHello: whatever comes from the network, no panic, and what is
// accepted is whole and harmless to show.
func FuzzParseHello(f *testing.F) {
	f.Add(unhex(f, seenLocked))
	f.Add(unhex(f, seenHub))
	f.Add(HelloRequest(time.Unix(0, 0)))
	f.Add(bytes.Repeat([]byte{0xFF}, 0x80))
	f.Fuzz(func(t *testing.T, p []byte) {
		r, err := ParseHello(p)
		if err != nil {
			return
		}
		if len(p) < 0x80 || p[0x26] != 7 {
			t.Fatalf("accepted %x", p)
		}
		if len(r.MAC) != 6 || isNobody(r.MAC) || !r.IP.Is4() {
			t.Errorf("MAC %s, IP %s", r.MAC, r.IP)
		}
		bad := func(c rune) bool { return unicode.IsControl(c) || strings.ContainsRune("<>\u202e", c) }
		if !utf8.ValidString(r.Name) || strings.ContainsFunc(r.Name, bad) || utf8.RuneCountInString(r.Name) > 40 {
			t.Errorf("name %q", r.Name)
		}
		for _, at := range []int{0, 0x36, 0x7F, len(p) - 1} {
			broken := bytes.Clone(p)
			broken[at] ^= 1
			if _, err := ParseHello(broken); err == nil {
				t.Errorf("byte %#x may be flipped unseen", at)
			}
		}
	})
}
