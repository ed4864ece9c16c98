package probe

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

// Bounds of one dns check. A resolver is asked at most 4 packets a name: two
// questions, each twice; that is what the budget counts as one check.
const (
	maxResolvers = 3 // as many as the C library uses (resolv.conf(5), MAXNS)
	maxNames     = 4
	dnsTries     = 2
)

// rootName is asked for its NS where no name of the cloud is known: every
// resolver that reaches the world can tell.
const rootName = "."

// dns asks each resolver of the site, and the reference, and compares what they
// say by class: tenants' names lead to other addresses at other resolvers, so
// that addresses themselves say nothing. A target is a name to ask for, or the
// address of a resolver to ask in place of the site's.
func (s Site) dns(ctx context.Context, t Target) Answer {
	if s.LANOnly && t.Address == "" {
		return doesNotApply(DNS, "site", "LAN-only by design")
	}
	servers, names := s.resolvers(), s.names()
	if t.Address != "" {
		if err := s.Targets.Permit(withPort(t.Address, "53")); err != nil {
			return cannotTell(DNS, t.Address, err.Error(), good(DNS))
		}
		if host, _ := splitAddress(t.Address); isAddr(host) {
			servers = []string{t.Address}
		} else {
			names = []string{dns.Fqdn(host)}
		}
	}
	if len(servers) == 0 {
		return cannotTell(DNS, "site", "no resolver is known", good(DNS))
	}
	target := strings.Join(servers, " ")
	asked := slices.Clone(servers)
	if s.Reference != "" {
		asked = append(asked, s.Reference)
	}
	ctx, cancel := context.WithTimeout(ctx, MaxProbe)
	defer cancel()
	table := s.askAll(ctx, asked, names)
	if errors.Is(ctx.Err(), context.Canceled) {
		return cannotTell(DNS, target, "it was stopped", good(DNS))
	}
	return judgeNames(target, servers, s.Reference, table)
}

// dnsCost is how many checks of the budget a dns check is.
func (s Site) dnsCost(t Target) int {
	servers, names := len(s.resolvers()), len(s.names())
	if host, _ := splitAddress(t.Address); isAddr(host) {
		servers = 1
	} else if host != "" {
		names = 1
	}
	if s.Reference != "" {
		servers++
	}
	return max(1, servers*names)
}

// resolvers are those of the profile, else the system's.
func (s Site) resolvers() []string {
	servers := s.Resolvers
	if len(servers) == 0 {
		file := s.ResolvConf
		if file == "" {
			file = "/etc/resolv.conf"
		}
		if conf, err := dns.ClientConfigFromFile(file); err == nil {
			servers = conf.Servers
		}
	}
	return slices.Clone(servers[:min(len(servers), maxResolvers)])
}

// names are what the resolvers are asked for.
func (s Site) names() []string {
	var names []string
	for _, h := range s.CloudHosts {
		host, _ := splitAddress(h)
		if host == "" || isAddr(host) || slices.Contains(names, dns.Fqdn(host)) {
			continue
		}
		names = append(names, dns.Fqdn(host))
	}
	if len(names) == 0 {
		return []string{rootName}
	}
	return names[:min(len(names), maxNames)]
}

// Lookup resolves names for the other probes, at the resolvers of the profile;
// nil is the system's way.
func (s Site) Lookup() *net.Resolver {
	if len(s.Resolvers) == 0 {
		return nil
	}
	s = s.completed()
	d := &net.Dialer{Timeout: s.Timeout, Control: s.Targets.controlNamed}
	var mu sync.Mutex
	next := 0
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		mu.Lock()
		server := s.Resolvers[next%len(s.Resolvers)]
		next++
		mu.Unlock()
		return d.DialContext(ctx, network, withPort(server, "53"))
	}}
}

// nameAnswers are all resolvers' answers on one name, in the order of asking.
type nameAnswers struct {
	name    string
	answers []dnsAnswer
}

// askAll asks every resolver for every name, all at once.
func (s Site) askAll(ctx context.Context, servers, names []string) []nameAnswers {
	table := make([]nameAnswers, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		table[i] = nameAnswers{name, make([]dnsAnswer, len(servers))}
		for j, server := range servers {
			wg.Go(func() { table[i].answers[j] = s.askOne(ctx, server, name) })
		}
	}
	wg.Wait()
	return table
}

// askOne asks one resolver for one name: for both families of addresses, as
// devices of either kind may.
func (s Site) askOne(ctx context.Context, server, name string) dnsAnswer {
	if name == rootName {
		return classify(s.exchange(ctx, server, name, dns.TypeNS))
	}
	var four, six dnsAnswer
	var wg sync.WaitGroup
	wg.Go(func() { four = classify(s.exchange(ctx, server, name, dns.TypeA)) })
	wg.Go(func() { six = classify(s.exchange(ctx, server, name, dns.TypeAAAA)) })
	wg.Wait()
	return bothFamilies(four, six)
}

// exchange asks one question: over UDP, with one retry, and over TCP where the
// answer does not fit (RFC 7766, 5). EDNS is left out: old routers stumble over
// it, and a class fits into 512 bytes.
func (s Site) exchange(ctx context.Context, server, name string, kind uint16) (*dns.Msg, error) {
	server = withPort(server, "53")
	q := new(dns.Msg).SetQuestion(name, kind)
	var reply *dns.Msg
	var err error
	for try := range dnsTries {
		reply, err = s.once(ctx, "udp", server, q, dnsTries-try)
		if err == nil || ctx.Err() != nil {
			break
		}
	}
	if err == nil && reply.Truncated {
		return s.once(ctx, "tcp", server, q, 1)
	}
	return reply, err
}

// once is one try; what time is left is shared with the tries that follow.
func (s Site) once(ctx context.Context, network, server string, q *dns.Msg, tries int) (*dns.Msg, error) {
	limit := s.Timeout
	if end, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(end)/time.Duration(tries))
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	client := &dns.Client{Net: network, Timeout: limit, Dialer: &net.Dialer{Timeout: limit, Control: s.Targets.controlNamed}}
	conn, err := client.DialContext(ctx, server)
	if err != nil {
		return nil, err
	}
	defer conn.Close() //nolint:errcheck // nothing is left to be sent
	// The client minds the time, but not that the context is cancelled.
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	reply, _, err := client.ExchangeWithConnContext(ctx, q, conn)
	if err != nil {
		return nil, cmp.Or(ctx.Err(), err)
	}
	if len(reply.Question) != 1 || !strings.EqualFold(reply.Question[0].Name, q.Question[0].Name) || reply.Question[0].Qtype != q.Question[0].Qtype {
		return nil, errOtherQuestion
	}
	return reply, nil
}

var errOtherQuestion = errors.New("the answer is to another question")

// classify reads one reply or the lack of it.
func classify(reply *dns.Msg, err error) dnsAnswer {
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, ErrDenied):
		return dnsAnswer{class: classUnknown, seen: "not asked"}
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EACCES):
		return dnsAnswer{class: classUnknown, seen: "not asked, this gateway has no way to it"}
	case errors.Is(err, syscall.ECONNREFUSED):
		return dnsAnswer{class: classTimeout, seen: "no name service on its port"}
	case errors.Is(err, syscall.EHOSTUNREACH):
		return dnsAnswer{class: classTimeout, seen: "unreachable"}
	case isTimeout(err):
		return dnsAnswer{class: classTimeout, seen: "timeout"}
	case err != nil:
		return dnsAnswer{class: classServFail, seen: "an answer that cannot be read"}
	}
	switch reply.Rcode {
	case dns.RcodeSuccess:
		return classifyAddresses(reply)
	case dns.RcodeNameError:
		return dnsAnswer{class: classNXDomain, seen: "NXDOMAIN"}
	case dns.RcodeRefused:
		return dnsAnswer{class: classRefused, seen: "REFUSED"}
	case dns.RcodeServerFailure:
		return dnsAnswer{class: classServFail, seen: "SERVFAIL"}
	}
	word := dns.RcodeToString[reply.Rcode]
	if word == "" {
		word = "an unknown error"
	}
	return dnsAnswer{class: classServFail, seen: word}
}

// classifyAddresses reads the addresses of a good answer.
func classifyAddresses(reply *dns.Msg) dnsAnswer {
	a := dnsAnswer{class: classAnswered, seen: "answered"}
	if reply.Question[0].Qtype == dns.TypeNS {
		return a // that it answers is what was asked
	}
	for _, rr := range reply.Answer {
		var ip netip.Addr
		switch rr := rr.(type) {
		case *dns.A:
			ip, _ = netip.AddrFromSlice(rr.A)
		case *dns.AAAA:
			ip, _ = netip.AddrFromSlice(rr.AAAA)
		default:
			continue
		}
		a.add(ip.Unmap())
	}
	if !a.addressed {
		return dnsAnswer{class: classNoData, seen: "no address"}
	}
	return a
}

// isTimeout tells whether time ran out, ours or the connection's.
func isTimeout(err error) bool {
	var n net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &n) && n.Timeout()
}
