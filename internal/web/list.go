package web

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"fieldmedic/internal/diagnose"
)

// devices serves the snapshots of all devices as one array.
//
// The store must not wait for a slow reader on the network, and 10,000
// snapshots must not lie in memory: they are packed while they are read, to a
// few per cent of their size, and sent when the store is let go.
func (s *Server) devices(w http.ResponseWriter, r *http.Request) {
	packed, err := s.packDevices(r.Context())
	if err != nil {
		s.failed(w, r, err)
		return
	}
	jsonHeader(w)
	w.Header().Set("Vary", "Accept-Encoding")
	if takesGzip(r) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Content-Length", strconv.Itoa(packed.Len()))
		_, _ = packed.WriteTo(w) // the one who asked is gone
		return
	}
	plain, err := gzip.NewReader(packed)
	if err != nil {
		s.failed(w, r, fmt.Errorf("unpack the list of devices: %w", err))
		return
	}
	_, _ = io.Copy(w, plain) // the one who asked is gone
}

func (s *Server) packDevices(ctx context.Context) (*bytes.Buffer, error) {
	done, err := s.oneScan(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	packed := new(bytes.Buffer)
	z, err := gzip.NewWriterLevel(packed, gzip.BestSpeed)
	if err != nil {
		return nil, fmt.Errorf("pack the list of devices: %w", err)
	}
	words, next := s.opts.Words(), "["
	add := func(b []byte) error {
		if _, err := z.Write(b); err != nil {
			return fmt.Errorf("pack the list of devices: %w", err)
		}
		return nil
	}
	err = s.opts.Store.EachSnapshot(ctx, func(snap diagnose.Snapshot) error {
		if snap.Device == "" {
			return nil // the site has its own address
		}
		body, err := snap.Encode(s.opts.Gateway, words)
		if err != nil {
			return err
		}
		err = add(append([]byte(next), body...))
		next = ",\n"
		return err
	})
	if err != nil {
		return nil, err
	}
	if next == "[" {
		next = "[]\n"
	} else {
		next = "]\n"
	}
	if err := add([]byte(next)); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("pack the list of devices: %w", err)
	}
	return packed, nil
}

// takesGzip reads Accept-Encoding (RFC 9110, 12.5.3) as far as it is needed:
// gzip is named and not ruled out by a weight of zero.
func takesGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(strings.Join(r.Header.Values("Accept-Encoding"), ","), ",") {
		name, weight, _ := strings.Cut(part, ";")
		if !strings.EqualFold(strings.TrimSpace(name), "gzip") {
			continue
		}
		_, q, ok := strings.Cut(weight, "=")
		q = strings.TrimSpace(q)
		return !ok || strings.Trim(q, "0.") != ""
	}
	return false
}
