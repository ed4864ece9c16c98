package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"time"

	"fieldmedic/internal/diagnose"
	"fieldmedic/internal/web"
)

// openWeb makes page and API from what the other rooms can tell. The rooms do
// not know each other: here is where they meet.
func (a *agent) openWeb(_ context.Context, cfg *Config) error {
	var tokens []web.Token
	if cfg.Web.TokenFile != "" {
		var err error
		if tokens, err = web.ReadTokens(cfg.Web.TokenFile); err != nil {
			return fmt.Errorf("web.token_file: %w", err)
		}
	}
	if err := a.protect(cfg); err != nil {
		return err
	}
	server, err := web.New(web.Options{
		Gateway: cfg.Gateway, Store: a.store, Words: a.words, Decide: a.decide,
		Ready: a.ready, Alive: a.alive, Refused: a.refusals.list, Metrics: a.metrics.handler(),
		Status: a.status, Tokens: tokens, Log: a.log,
	})
	if err != nil {
		return err
	}
	a.web = server
	return nil
}

// protect puts TLS over the listeners where it is due: with the operator's
// certificate, or with one of our own on an address that is not loopback.
func (a *agent) protect(cfg *Config) error {
	var cert tls.Certificate
	var err error
	switch {
	case cfg.Web.CertFile != "":
		cert, err = tls.LoadX509KeyPair(cfg.Web.CertFile, cfg.Web.KeyFile)
		if err != nil {
			return fmt.Errorf("web.cert_file: %w", err)
		}
	case len(a.listeners) > 0 && !loopback(cfg.Web.Listen) && !cfg.Web.Insecure:
		var fingerprint string
		cert, fingerprint, err = web.SelfSigned(cfg.State.Dir, hostNames())
		if err != nil {
			return fmt.Errorf("make a certificate for the page: %w", err)
		}
		a.log.Info("the page has a certificate of its own making", "sha256", fingerprint)
	default:
		return nil
	}
	for i, l := range a.listeners {
		a.listeners[i] = tls.NewListener(l, &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}})
	}
	return nil
}

// hostNames are what this machine may be called by.
func hostNames() []string {
	names := []string{"localhost"}
	if host, err := os.Hostname(); err == nil {
		names = append(names, host, host+".local")
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return names
	}
	for _, address := range addresses {
		if ip, ok := address.(*net.IPNet); ok {
			names = append(names, ip.IP.String())
		}
	}
	return names
}

// status is what the page's foot tells of the agent.
func (a *agent) status() web.Status {
	in, out := a.inbound.State(), a.outbound.State()
	s := a.setup()
	status := web.Status{
		Version: versionText(), StartedAt: diagnose.Stamp{Time: a.started},
		Inbound: string(in.State), Publishing: string(out.State), Languages: s.set.Languages(),
	}
	for _, p := range a.info().Packs {
		status.Packs = append(status.Packs, fmt.Sprintf("%s@%d", p.Name, p.Version))
	}
	for _, src := range s.cfg.Sources {
		status.Sources = append(status.Sources, src.Name+": "+src.Topic)
	}
	return status
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
	case <-ctx.Done():
		return diagnose.Response{Transaction: r.Transaction, Error: "no answer in time; it may have been done"}
	}
}
