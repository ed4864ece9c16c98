package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"time"

	"fieldmedic/internal/diagnose"
	"fieldmedic/internal/web"
)

// openWeb makes page and API from what the other rooms can tell. The rooms do
// not know each other: here is where they meet.
func (a *agent) openWeb(_ context.Context, cfg *Config) error {
	protection, fingerprint, err := a.protection(cfg)
	if err != nil {
		return err
	}
	a.web, err = web.New(web.Options{
		Gateway: cfg.Gateway, Store: shelf{a.store, a}, Words: a.words, Decide: a.decide,
		Ready: a.ready, Alive: a.alive, Refused: a.refusals.list, Metrics: a.metrics.handler(),
		Status: a.status, Code: a.code, Tokens: a.setup().tokens, TLS: protection, Fingerprint: fingerprint, Log: a.log,
	})
	return err
}

// protection is the TLS of page and API where it is due: with the operator's
// certificate, or with one of our own on an address that is not loopback, whose
// fingerprint is told.
func (a *agent) protection(cfg *Config) (protection *tls.Config, fingerprint string, err error) {
	switch {
	case cfg.Web.CertFile != "":
		if err := a.loadCertificate(cfg); err != nil {
			return nil, "", err
		}
	case len(a.listeners) > 0 && !loopback(cfg.Web.Listen) && !cfg.Web.Insecure:
		var cert tls.Certificate
		if cert, fingerprint, err = web.SelfSigned(cfg.State.Dir, nil); err != nil {
			return nil, "", fmt.Errorf("make a certificate for the page: %w", err)
		}
		a.certificate.Store(&cert)
		a.log.Info("the page has a certificate of its own making", "sha256", fingerprint)
	default:
		return nil, "", nil
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return a.certificate.Load(), nil },
	}, fingerprint, nil
}

// loadCertificate reads the operator's certificate, at the start and at each
// reload: it is renewed under the same name.
func (a *agent) loadCertificate(cfg *Config) error {
	cert, err := tls.LoadX509KeyPair(cfg.Web.CertFile, cfg.Web.KeyFile)
	if err != nil {
		return fmt.Errorf("web.cert_file: %w", err)
	}
	a.certificate.Store(&cert)
	return nil
}

// status is what the page's foot tells of the agent.
func (a *agent) status() web.Status {
	i := a.info()
	status := web.Status{
		Version: i.Version, StartedAt: i.StartedAt, Epoch: i.Epoch, Languages: i.Languages,
		Inbound: string(a.inbound.State().State), Publishing: string(a.outbound.State().State),
	}
	for _, p := range i.Packs {
		status.Packs = append(status.Packs, web.Pack(p))
	}
	for _, s := range i.Sources {
		status.Sources = append(status.Sources, web.Source(s))
	}
	if i.ReloadError != nil {
		status.ReloadError = diagnose.NullString(*i.ReloadError)
	}
	return status
}

// code answers what a code means, by the rules in force.
func (a *agent) code(text string) (any, error) {
	answer, ok := lookUp(a.setup().set, text)
	if !ok {
		return nil, fmt.Errorf("%q is no code (a number such as -4013, 65529 or 0xfff9)", text)
	}
	return answer, nil
}

// decide carries out a request from page or command line.
func (a *agent) decide(ctx context.Context, r diagnose.Request) diagnose.Response {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	answer := make(chan diagnose.Response, 1)
	taken := a.loop.Deliver(diagnose.Delivery{Request: &r, Respond: func(resp diagnose.Response) { answer <- resp }})
	if !taken {
		return diagnose.Response{Transaction: r.Transaction, Error: "the agent is busy, nothing was done (try again)"}
	}
	select {
	case resp := <-answer:
		return resp
	case <-a.loop.Stopped():
		return diagnose.Response{Transaction: r.Transaction, Error: "the agent is stopping; it may have been done"}
	case <-ctx.Done():
		return diagnose.Response{Transaction: r.Transaction, Error: "no answer in time; it may have been done"}
	}
}
