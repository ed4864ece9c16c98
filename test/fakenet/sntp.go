package fakenet

import (
	"encoding/binary"
	"fmt"
	"net"
	"sync"
	"time"
)

// TimeManner is how a time server answers.
type TimeManner string

// The manners.
const (
	TellsTime    TimeManner = "tells"       // the time, off by so much
	KissOfDeath  TimeManner = "kiss"        // stratum 0: go away
	Unsynced     TimeManner = "unsynced"    // its own clock is not set
	ForgesAnswer TimeManner = "forges"      // an answer that does not belong to the question
	ShortAnswer  TimeManner = "short"       // a few bytes
	SilentTime   TimeManner = "silent"      // nothing
	LosesFirst   TimeManner = "loses-first" // the first packet is lost
)

// TimeServer answers over SNTP.
type TimeServer struct {
	// Addr is IP:PORT.
	Addr string
	conn net.PacketConn
	wg   sync.WaitGroup
}

// StartTimeServer listens on addr, as Loopback; its clock is off by so much.
func StartTimeServer(addr string, manner TimeManner, off time.Duration) (*TimeServer, error) {
	conn, err := net.ListenPacket("udp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	s := &TimeServer{Addr: conn.LocalAddr().String(), conn: conn}
	s.wg.Go(func() { s.serve(manner, off) })
	return s, nil
}

// Close ends it.
func (s *TimeServer) Close() {
	_ = s.conn.Close()
	s.wg.Wait()
}

func (s *TimeServer) serve(manner TimeManner, off time.Duration) {
	buf := make([]byte, 128)
	for count := 0; ; count++ {
		n, from, err := s.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		if n < 48 || manner == SilentTime || manner == LosesFirst && count == 0 {
			continue
		}
		_, _ = s.conn.WriteTo(timeAnswer(buf[:48], manner, time.Now().Add(off)), from)
	}
}

// timeAnswer is a server's packet (RFC 5905, 7.3).
func timeAnswer(question []byte, manner TimeManner, now time.Time) []byte {
	p := make([]byte, 48)
	p[0], p[1] = 4<<3|4, 2
	copy(p[24:32], question[40:48])
	switch manner {
	case KissOfDeath:
		p[1] = 0
		copy(p[12:16], "RATE")
	case Unsynced:
		p[0] |= 3 << 6
	case ForgesAnswer:
		p[24] ^= 0xff
	case ShortAnswer:
		return p[:20]
	}
	const from1900 = 2_208_988_800
	for _, at := range []int{32, 40} {
		binary.BigEndian.PutUint32(p[at:], uint32(now.Unix()+from1900))
		binary.BigEndian.PutUint32(p[at+4:], uint32(int64(now.Nanosecond())<<32/int64(time.Second)))
	}
	return p
}
