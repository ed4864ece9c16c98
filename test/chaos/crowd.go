package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// message is one publish of a crowd.
type message struct {
	topic   string
	payload []byte
	qos     byte
}

// crowd is many devices on a few connections, which send as fast as they are
// told, or as the broker takes it.
type crowd struct {
	lanes []*lane
}

// lane is one of its connections.
type lane struct {
	c      *client
	w      *bufio.Writer
	window chan struct{}
	last   uint16
	sent   [2]atomic.Int64 // by quality of service
	acked  atomic.Int64
	lost   chan struct{}
	buf    []byte
}

const (
	crowdLanes = 4
	// laneWindow is how many messages of a lane may be unacknowledged.
	laneWindow = 1000
	// laneFlush is how long a message may wait for others to travel with.
	laneFlush = 2 * time.Millisecond
	// laneEnd is how long the broker may take for the last acknowledgements.
	laneEnd = 60 * time.Second
)

func newCrowd(address, name string) (*crowd, error) {
	c := &crowd{}
	for i := range crowdLanes {
		conn, err := dial(address, name+"-"+strconv.Itoa(i), true)
		if err != nil {
			c.close()
			return nil, err
		}
		l := &lane{c: conn, w: bufio.NewWriterSize(conn.conn, 64<<10), window: make(chan struct{}, laneWindow), lost: make(chan struct{})}
		c.lanes = append(c.lanes, l)
		go l.read()
	}
	return c, nil
}

func (c *crowd) close() {
	for _, l := range c.lanes {
		_ = l.c.conn.Close() // it may be closed already
	}
}

// sent and acked are over all lanes.
func (c *crowd) sent() (qos0, qos1 int64) {
	for _, l := range c.lanes {
		qos0 += l.sent[0].Load()
		qos1 += l.sent[1].Load()
	}
	return qos0, qos1
}

func (c *crowd) acked() (n int64) {
	for _, l := range c.lanes {
		n += l.acked.Load()
	}
	return n
}

// send makes and sends messages 0 to n-1, or until ctx ends for n of 0, at so
// many a second, or as fast as it goes for 0. Messages of one lane, which are
// those with the same i%crowdLanes, keep their order.
func (c *crowd) send(ctx context.Context, n, perSecond int, build func(i int) message) error {
	var all sync.WaitGroup
	errs := make([]error, len(c.lanes))
	start := time.Now()
	for k, l := range c.lanes {
		all.Go(func() { errs[k] = l.send(ctx, start, k, n, perSecond, build) })
	}
	all.Wait()
	return errors.Join(errs...)
}

func (l *lane) send(ctx context.Context, start time.Time, k, n, perSecond int, build func(i int) message) error {
	for i := k; (n == 0 || i < n) && ctx.Err() == nil; i += crowdLanes {
		if perSecond > 0 {
			due := start.Add(time.Duration(float64(i) / float64(perSecond) * float64(time.Second)))
			if wait := time.Until(due); wait > 0 {
				if err := l.flush(); err != nil {
					return err
				}
				time.Sleep(max(wait, laneFlush))
			}
		}
		if err := l.put(build(i)); err != nil {
			return err
		}
	}
	if err := l.flush(); err != nil {
		return err
	}
	for until := time.Now().Add(laneEnd); l.acked.Load() < l.sent[1].Load(); time.Sleep(laneFlush) {
		if time.Now().After(until) {
			return fmt.Errorf("the broker acknowledged %d of %d messages", l.acked.Load(), l.sent[1].Load())
		}
	}
	return nil
}

// put sends one message, when the window has room.
func (l *lane) put(m message) error {
	id := uint16(0)
	if m.qos > 0 {
		select {
		case l.window <- struct{}{}:
		default:
			if err := l.flush(); err != nil {
				return err
			}
			select {
			case l.window <- struct{}{}:
			case <-l.lost:
				return errors.New("the broker ended a device's connection")
			case <-time.After(laneEnd):
				return fmt.Errorf("the broker acknowledges nothing for %s", laneEnd)
			}
		}
		if l.last++; l.last == 0 {
			l.last++
		}
		id = l.last
	}
	body := appendText(l.buf[:0], m.topic)
	if id > 0 {
		body = binary.BigEndian.AppendUint16(body, id)
	}
	l.buf = append(body, m.payload...)
	if _, err := l.w.Write(encode(packetPublish<<4|m.qos<<1, l.buf)); err != nil {
		return err
	}
	l.sent[m.qos].Add(1)
	return nil
}

func (l *lane) flush() error {
	if err := l.c.conn.SetWriteDeadline(time.Now().Add(laneEnd)); err != nil {
		return err
	}
	return l.w.Flush()
}

func (l *lane) read() {
	defer close(l.lost)
	for {
		f, err := readFrame(l.c.r)
		if err != nil {
			return
		}
		if f.kind == packetPuback {
			l.acked.Add(1)
			<-l.window
		}
	}
}
