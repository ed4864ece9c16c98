package vendordevice

import "slices"

// isHello tells whether a packet is a hello request, to the letter: 48 bytes,
// packet type 6, a right checksum, and zeros where nothing is defined.
func isHello(p []byte) bool {
	if len(p) != 48 || p[0x26] != 6 || !sumIsRight(p) {
		return false
	}
	for i, b := range p {
		defined := i >= 0x08 && i <= 0x1D || i == 0x20 || i == 0x21 || i == 0x26
		if !defined && b != 0 {
			return false
		}
	}
	return true
}

// reply is what the device answers in its state; nil is silence.
func (s *State) reply() []byte {
	switch s.Behaviour {
	case Silent:
		return nil
	case Garbage:
		return []byte("HTTP/1.1 400 Bad Request\r\n\r\n")
	}
	p := make([]byte, 0x80, 0x80+len(s.Extra))
	copy(p, []byte{0x5a, 0xa5, 0xaa, 0x55, 0x5a, 0xa5, 0xaa, 0x55})
	p[0x24], p[0x25] = byte(s.Type), byte(s.Type>>8)
	p[0x26] = 7
	p[0x34], p[0x35] = byte(s.Type), byte(s.Type>>8)
	if s.IP.Is4() {
		ip := s.IP.As4()
		slices.Reverse(ip[:])
		copy(p[0x36:], ip[:])
	}
	mac := slices.Clone(s.MAC)
	slices.Reverse(mac)
	copy(p[0x3A:0x40], mac)
	copy(p[0x40:0x7E], s.Name)
	p[0x7E] = 2 // seen in all dumps
	p[0x7F] = s.Flag
	if s.Locked && s.Flag == 0 {
		p[0x7F] = 1
	}
	p = append(p, s.Extra...)
	setSum(p)
	switch s.Behaviour {
	case Damaged:
		p[0x20]++
	case Cut:
		return p[:0x40]
	}
	return p
}

// sum is the protocol's: all bytes and 0xBEAF, modulo 2^16, with the two bytes
// of the sum itself left out.
func sum(p []byte) int {
	total := 0xBEAF - int(p[0x20]) - int(p[0x21])
	for _, b := range p {
		total += int(b)
	}
	return total % 0x10000
}

func setSum(p []byte) {
	is := sum(p)
	p[0x20], p[0x21] = byte(is), byte(is>>8)
}

func sumIsRight(p []byte) bool {
	is := sum(p)
	return p[0x20] == byte(is) && p[0x21] == byte(is>>8)
}
