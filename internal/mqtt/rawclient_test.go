package mqtt

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"
)

// raw is a device that speaks MQTT byte by byte, version 4 (3.1.1) or 5, and
// can send what no library would.
type raw struct {
	t       *testing.T
	conn    net.Conn
	in      *bufio.Reader
	version byte
}

// dialRaw connects; user and password are left out when the user is empty. The
// return code of the CONNACK is answered.
func dialRaw(t *testing.T, address string, version byte, user, password string) (*raw, byte) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	r := &raw{t: t, conn: conn, in: bufio.NewReader(conn), version: version}
	flags := byte(2) // clean session
	if user != "" {
		flags |= 0xc0
	}
	body := append([]byte("\x00\x04MQTT"), version, flags, 0, 60)
	if version == 5 {
		body = append(body, 0) // no properties
	}
	fields := []string{"raw-" + conn.LocalAddr().String()}
	if user != "" {
		fields = append(fields, user, password)
	}
	for _, s := range fields {
		body = binary.BigEndian.AppendUint16(body, uint16(len(s)))
		body = append(body, s...)
	}
	r.send(packet(0x10, body...))
	first, answer := r.read()
	if first != 0x20 {
		t.Fatalf("a packet %x instead of a CONNACK", first)
	}
	return r, answer[1]
}

func (r *raw) send(p []byte) {
	r.t.Helper()
	if _, err := r.conn.Write(p); err != nil {
		r.t.Fatal(err)
	}
}

// read is the next packet.
func (r *raw) read() (first byte, body []byte) {
	r.t.Helper()
	if err := r.conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		r.t.Fatal(err)
	}
	first, err := r.in.ReadByte()
	if err != nil {
		r.t.Fatal("read a packet: ", err)
	}
	length, err := binary.ReadUvarint(r.in) // the same encoding as MQTT's
	if err != nil {
		r.t.Fatal(err)
	}
	body = make([]byte, length)
	if _, err := io.ReadFull(r.in, body); err != nil {
		r.t.Fatal(err)
	}
	return first, body
}

// publish sends a payload of size bytes in parts, so that nothing large is held
// in memory, and goes through what its quality of service wants.
func (r *raw) publish(qos byte, id uint16, topic string, start string, size int) {
	r.t.Helper()
	head := publishBody(qos, id, topic, 0)
	if r.version == 5 {
		head = append(head, 0) // no properties
	}
	head = append(head, start...)
	out := append([]byte{0x30 | qos<<1}, binary.AppendUvarint(nil, uint64(len(head)+size))...)
	r.send(append(out, head...))
	part := bytes.Repeat([]byte{'p'}, 64<<10)
	for size > 0 {
		n := min(size, len(part))
		r.send(part[:n])
		size -= n
	}
	switch qos {
	case 1:
		r.expect(0x40, id)
	case 2:
		r.expect(0x50, id)
		r.send(packet(0x62, byte(id>>8), byte(id)))
		r.expect(0x70, id)
	}
}

func (r *raw) expect(want byte, id uint16) {
	r.t.Helper()
	first, body := r.read()
	if first != want || len(body) < 2 || binary.BigEndian.Uint16(body) != id {
		r.t.Fatalf("packet %x %x, want %x %04x", first, body, want, id)
	}
}
