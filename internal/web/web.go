// Package web serves the page and its API on what the store holds, and has
// the client of it that the command line uses.
//
// It reads the store and never the engine; what a person decides goes through
// the loop as a request.
package web

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"fieldmedic/internal/diagnose"
)

// Current is what the store knows of devices and site now.
type Current interface {
	// EachSnapshot calls f for the site, then for each device by id. It may
	// hold the store's data for reading until f has had all of them.
	EachSnapshot(ctx context.Context, f func(diagnose.Snapshot) error) error
	// Device answers false for a device that is not known.
	Device(ctx context.Context, id string) (diagnose.DeviceRecord, bool, error)
	Site() diagnose.Snapshot
}

// Journal is the store's log of events.
type Journal interface {
	// After returns up to limit entries above seq, in order.
	After(ctx context.Context, seq int64, limit int) ([]diagnose.LogEntry, error)
	// History returns up to limit of a device's newest entries, oldest first.
	History(ctx context.Context, device string, limit int) ([]diagnose.LogEntry, error)
	// Seq is the newest number in the log.
	Seq() int64
}

// Store is what page and API read.
type Store interface {
	Current
	Journal
}

// Options of a server. Gateway, Store, Words, Decide and Log must be set.
type Options struct {
	// Gateway is this gateway's id, as it stands in topics.
	Gateway string
	Store   Store
	// Words are those of the rule set in force.
	Words func() diagnose.Words
	// Decide carries out a request and waits for the answer, not for ever.
	Decide func(ctx context.Context, r diagnose.Request) diagnose.Response
	// Ready is nil when messages are taken and published, and else says what
	// is in the way; Alive is nil while the program makes progress. Without a
	// function the answer is yes.
	Ready func() error
	Alive func() error
	// Refused answers samples of refused input, secrets masked.
	Refused func() []diagnose.RefusedInput
	// Code answers what a code means, as a value for JSON; an error means that
	// the text is no code. Without it there is no look-up.
	Code func(text string) (any, error)
	// Metrics serves /metrics; nil: there is none.
	Metrics http.Handler
	// Status says how the agent stands; nil: nothing is known of it.
	Status func() Status
	// Tokens that are accepted; empty: no token is demanded.
	Tokens []Token
	// Hosts are names, beside the machine's own, by which browsers may ask.
	Hosts []string
	// TLS is for the listeners of Serve that are not the unix socket; nil:
	// plain HTTP.
	TLS *tls.Config
	// Fingerprint of the certificate that the page has made for itself, shown
	// where people sign in; empty where it has another.
	Fingerprint string
	Log         *slog.Logger
}

// Status is how the agent stands: what /api/v1/info and the foot of the page
// say.
type Status struct {
	Version   string         `json:"version"`
	StartedAt diagnose.Stamp `json:"started_at"`
	Epoch     string         `json:"epoch"`
	// Inbound and Publishing are the states of the two connections to the
	// broker, in words.
	Inbound    string   `json:"inbound"`
	Publishing string   `json:"publishing"`
	Packs      []Pack   `json:"packs"`
	Sources    []Source `json:"sources"`
	// Languages of the texts, the default first.
	Languages []string `json:"languages"`
	// ReloadError is what was wrong at the last reload, or null.
	ReloadError diagnose.NullString `json:"reload_error"`
}

// Pack is one rule pack that is loaded.
type Pack struct {
	Name    string `json:"name"`
	Version int    `json:"version"`
	Rules   int    `json:"rules"`
	// Site is true for an operator's own pack.
	Site bool `json:"site"`
}

// Source is one source of messages.
type Source struct {
	Name   string `json:"name"`
	Topic  string `json:"topic"`
	Format string `json:"format"`
}

// Server is the page and its API.
type Server struct {
	opts  Options
	pages map[string]*template.Template
	style asset
	hosts map[string]bool
	tries *tries
	// scans bounds how many requests read the whole store at one time, so that
	// they cannot take all of its readers.
	scans chan struct{}
	// bell rings when the log has grown; streams holds those that are open, and
	// ending is closed when the server is to end.
	bell    bell
	streams chan struct{}
	ending  chan struct{}
	end     sync.Once
	// sessions are of those who signed in on the page.
	sessions *sessions
	now      func() time.Time
}

// maxScans is half of the readers that the store has.
const maxScans = 2

// New makes a server, and opens nothing. It fails when an option is missing.
func New(opts Options) (*Server, error) {
	if opts.Store == nil || opts.Words == nil || opts.Decide == nil || opts.Log == nil {
		return nil, errors.New("make the page: an option is missing (Store, Words, Decide and Log must be set)")
	}
	s := &Server{
		opts: opts, hosts: ownNames(opts.Hosts), tries: newTries(), scans: make(chan struct{}, maxScans), now: time.Now,
		streams: make(chan struct{}, maxStreams), ending: make(chan struct{}), sessions: newSessions(),
	}
	var err error
	if s.pages, err = loadPages(); err != nil {
		return nil, fmt.Errorf("make the page: %w", err)
	}
	if s.style, err = loadStyle(); err != nil {
		return nil, fmt.Errorf("make the page: %w", err)
	}
	return s, nil
}

// Handler is what strangers talk to: it demands a known host name and, where
// there are tokens, one of them.
func (s *Server) Handler() http.Handler {
	var h http.Handler = s.routes()
	h = limitBody(h)
	h = s.demandToken(h)
	h = s.sameOrigin(h)
	h = s.knownHost(h)
	return secured(h)
}

// SocketHandler is for the unix socket, whose file says who may talk.
func (s *Server) SocketHandler() http.Handler {
	return secured(limitBody(s.routes()))
}

func (s *Server) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.sitePage)
	mux.HandleFunc("GET /devices/{id}", s.devicePage)
	mux.HandleFunc("GET /devices/{$}", s.devicePage) // ?id=, see devicePath
	mux.HandleFunc("GET /style.css", s.styleSheet)
	mux.HandleFunc("GET "+loginPath, s.loginPage)
	mux.HandleFunc("POST "+loginPath, s.login)
	mux.HandleFunc("POST /logout", s.logout)
	mux.HandleFunc("GET /healthz", probe(s.opts.Alive))
	mux.HandleFunc("GET /readyz", probe(s.opts.Ready))
	mux.HandleFunc("GET /api/v1/devices", s.devices)
	mux.HandleFunc("GET /api/v1/devices/{id}", s.device)
	mux.HandleFunc("GET /api/v1/site", s.site)
	mux.HandleFunc("GET /api/v1/events", s.events)
	mux.HandleFunc("GET /api/v1/stream", s.stream)
	mux.HandleFunc("GET /api/v1/codes/{code}", s.code)
	mux.HandleFunc("GET /api/v1/info", s.info)
	mux.HandleFunc("POST /api/v1/devices/{id}/{verb}", s.decide)
	mux.HandleFunc("POST /api/v1/site/{verb}", s.decide)
	mux.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, http.StatusNotFound, "there is no "+r.Method+" "+visible(r.URL.Path))
	})
	if s.opts.Metrics != nil {
		mux.Handle("GET /metrics", s.opts.Metrics)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		s.sorry(w, http.StatusNotFound, "There is no such page here.")
	})
	return mux
}

// probe answers 200, or 503 with the reason.
func probe(ask func() error) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		answer := "ok"
		if ask != nil {
			if err := ask(); err != nil {
				w.WriteHeader(http.StatusServiceUnavailable)
				answer = err.Error()
			}
		}
		_, _ = w.Write([]byte(answer + "\n")) // the one who asked is gone
	}
}

// oneScan waits for its turn to read the whole store; done ends it.
func (s *Server) oneScan(ctx context.Context) (done func(), err error) {
	select {
	case s.scans <- struct{}{}:
		return func() { <-s.scans }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait to read the store: %w", ctx.Err())
	}
}
