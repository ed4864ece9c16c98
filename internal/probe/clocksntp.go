package probe

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// ntpSize is a packet without extensions (RFC 5905, 7.3).
const ntpSize = 48

// ntpTries: a packet may get lost.
const ntpTries = 2

// timeServer asks a time server, as a client that keeps no state (RFC 4330, 5).
func (s Site) timeServer(address string) clockSource {
	return func(ctx context.Context) (reading, error) {
		host, _ := splitAddress(address)
		var r reading
		var err error
		for try := range ntpTries {
			if r, err = s.askTime(ctx, withPort(address, "123"), ntpTries-try); err == nil {
				r.source = host
				return r, nil
			}
			if ctx.Err() != nil || !isTimeout(err) {
				break
			}
		}
		why := "no answer"
		if !isTimeout(err) {
			why = shorten(innermost(err).Error())
		}
		return r, &sourceError{host, why, err}
	}
}

// askTime sends one packet and waits for its answer.
func (s Site) askTime(ctx context.Context, address string, tries int) (reading, error) {
	limit := s.Timeout
	if end, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(end)/time.Duration(tries))
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	conn, err := s.dialer().DialContext(ctx, "udp", address)
	if err != nil {
		return reading{}, err
	}
	defer conn.Close() //nolint:errcheck // nothing is left to be sent
	// A context that ends wakes the read.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()

	var packet, answer [ntpSize]byte
	packet[0] = 4<<3 | 3 // version 4, client
	// The time that is sent says nothing but which answer belongs to it; a
	// random one tells nobody this clock, and is hard to guess.
	if _, err := rand.Read(packet[40:48]); err != nil {
		return reading{}, fmt.Errorf("make a nonce: %w", err)
	}
	sent := s.Now()
	if _, err := conn.Write(packet[:]); err != nil {
		return reading{}, err
	}
	n, err := conn.Read(answer[:])
	received := s.Now()
	if err != nil {
		return reading{}, err
	}
	if err := checkTime(answer[:n], packet[40:48]); err != nil {
		return reading{}, err
	}
	came, left := ntpTime(answer[32:40]), ntpTime(answer[40:48])
	half := (received.Sub(sent) - left.Sub(came)) / 2
	return reading{off: (sent.Sub(came) + received.Sub(left)) / 2, within: half.Abs()}, nil
}

// checkTime refuses what a client must not take its time from (RFC 4330, 5).
func checkTime(answer, nonce []byte) error {
	switch {
	case len(answer) < ntpSize || answer[0]&7 != 4:
		return errors.New("no answer of a time server")
	case string(answer[24:32]) != string(nonce):
		return errors.New("an answer to something else")
	case answer[0]>>6 == 3 || answer[1] == 0 || answer[1] > 15:
		return errors.New("it has no time itself")
	case binary.BigEndian.Uint64(answer[40:48]) == 0:
		return errors.New("it tells no time")
	}
	return nil
}

// ntpTime reads a timestamp: seconds since 1900 and a fraction. Seconds without
// the highest bit belong to the era that begins in 2036 (RFC 4330, 3).
func ntpTime(b []byte) time.Time {
	const to1970 = 2_208_988_800
	seconds := int64(binary.BigEndian.Uint32(b))
	if seconds < 1<<31 {
		seconds += 1 << 32
	}
	fraction := int64(binary.BigEndian.Uint32(b[4:])) * int64(time.Second) >> 32
	return time.Unix(seconds-to1970, fraction)
}
