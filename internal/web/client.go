package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"fieldmedic/internal/diagnose"
)

// Client asks the running agent over its unix socket. It may be used from
// several goroutines.
type Client struct {
	http *http.Client
}

// Error is what the agent answered instead of what was asked for.
type Error struct {
	// Status of HTTP: 404 where the device is not known.
	Status int
	// Sentence for a person.
	Sentence string
}

func (e *Error) Error() string { return e.Sentence }

const (
	// maxAnswer bounds an answer that is read whole, in bytes.
	maxAnswer = 64 << 20
	// firstByteWithin is long enough for the list of 10,000 devices on a slow
	// gateway, and for a request that waits for the loop.
	firstByteWithin = 30 * time.Second
)

// Dial returns a client for the first of the sockets that an agent listens
// on. It connects when it is used: then the error says where no agent was
// found, or that we may not talk to the one that is there.
func Dial(sockets ...string) *Client {
	return &Client{http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialFirst(ctx, sockets)
		},
		ResponseHeaderTimeout: firstByteWithin,
		DisableCompression:    true, // it is the same machine
	}}}
}

func dialFirst(ctx context.Context, sockets []string) (net.Conn, error) {
	var dialer net.Dialer
	for _, path := range sockets {
		conn, err := dialer.DialContext(ctx, "unix", path)
		switch {
		case err == nil:
			return conn, nil
		case errors.Is(err, fs.ErrPermission):
			return nil, &Error{Sentence: "you may not talk to the fieldmedic that runs here: " + path +
				" (ask as the user that it runs as or as root; web.socket_group lets a group in)"}
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOTDIR):
		default:
			return nil, fmt.Errorf("connect to the running fieldmedic: %w", err)
		}
	}
	return nil, &Error{Sentence: "no fieldmedic is running here (looked for " + strings.Join(sockets, ", ") + ")"}
}

// Devices yields the snapshots of all devices as they arrive, by id. An error
// is the last that it yields.
func (c *Client) Devices(ctx context.Context) iter.Seq2[diagnose.SnapshotJSON, error] {
	return func(yield func(diagnose.SnapshotJSON, error) bool) {
		resp, err := c.do(ctx, http.MethodGet, "/api/v1/devices", nil)
		if err != nil {
			yield(diagnose.SnapshotJSON{}, err)
			return
		}
		defer func() { _ = resp.Body.Close() }() // it is only read
		dec := json.NewDecoder(resp.Body)
		_, err = dec.Token() // the array begins
		for err == nil && dec.More() {
			var snap diagnose.SnapshotJSON
			if err = dec.Decode(&snap); err == nil && !yield(snap, nil) {
				return
			}
		}
		if err == nil {
			_, err = dec.Token() // the array ends: the list is whole
		}
		if err != nil {
			yield(diagnose.SnapshotJSON{}, fmt.Errorf("read the list of devices: %w", err))
		}
	}
}

// Device returns one device's snapshot; an *Error with status 404 when it is
// not known.
func (c *Client) Device(ctx context.Context, id string) (diagnose.SnapshotJSON, error) {
	return get[diagnose.SnapshotJSON](ctx, c, "/api/v1/devices/"+escapeID(id))
}

// Site returns the site's snapshot.
func (c *Client) Site(ctx context.Context) (diagnose.SnapshotJSON, error) {
	return get[diagnose.SnapshotJSON](ctx, c, "/api/v1/site")
}

// Events returns up to limit events in order, 1000 at most: with after below
// zero the newest of the device, else what follows that seq, of the device or,
// where it is "", of all.
func (c *Client) Events(ctx context.Context, device string, after int64, limit int) ([]diagnose.Event, error) {
	q := url.Values{"limit": {strconv.Itoa(limit)}}
	if device != "" {
		q.Set("device", device)
	}
	if after >= 0 {
		q.Set("after", strconv.FormatInt(after, 10))
	}
	return get[[]diagnose.Event](ctx, c, "/api/v1/events?"+q.Encode())
}

// Decide sends a request. A response that is not OK is no error: its sentence
// says why nothing was done.
func (c *Client) Decide(ctx context.Context, r diagnose.Request) (diagnose.Response, error) {
	var answered diagnose.Response
	path := "/api/v1/site/"
	if r.Device != nil {
		path = "/api/v1/devices/" + escapeID(*r.Device) + "/"
	}
	body, err := json.Marshal(r)
	if err != nil {
		return answered, fmt.Errorf("write the request: %w", err)
	}
	resp, err := c.do(ctx, http.MethodPost, path+url.PathEscape(string(r.Verb)), body)
	var refused *Error
	if errors.As(err, &refused) && (refused.Status == http.StatusConflict || refused.Status == http.StatusBadRequest) {
		return diagnose.Response{Transaction: r.Transaction, Error: refused.Sentence}, nil
	}
	if err != nil {
		return answered, err
	}
	return answered, readAnswer(resp, &answered)
}

func get[T any](ctx context.Context, c *Client, path string) (T, error) {
	var v T
	resp, err := c.do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return v, err
	}
	return v, readAnswer(resp, &v)
}

func readAnswer(resp *http.Response, v any) error {
	defer func() { _ = resp.Body.Close() }() // it is only read
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(v); err != nil {
		return fmt.Errorf("read the answer of the running fieldmedic: %w", err)
	}
	return nil
}

// do sends one request; an answer that is not 200 is an *Error.
func (c *Client) do(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://fieldmedic"+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("ask the running fieldmedic: %w", err)
	}
	if len(body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	var told *Error
	switch {
	case errors.As(err, &told):
		return nil, told
	case err != nil:
		return nil, fmt.Errorf("ask the running fieldmedic: %w", err)
	case resp.StatusCode == http.StatusOK:
		return resp, nil
	}
	defer func() { _ = resp.Body.Close() }() // it is only read
	said := apiError{"the running fieldmedic answered " + resp.Status}
	if text, err := io.ReadAll(io.LimitReader(resp.Body, maxBody)); err == nil {
		_ = json.Unmarshal(text, &said) // the status stands where it is no JSON
	}
	return nil, &Error{Status: resp.StatusCode, Sentence: said.Error}
}
