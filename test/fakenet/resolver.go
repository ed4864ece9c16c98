package fakenet

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"

	"github.com/miekg/dns"
)

// Manner is how a resolver answers.
type Manner string

// The manners. Of an unknown name every resolver says NXDOMAIN.
const (
	Answering      Manner = "answering"       // the addresses of its zone
	Nonexistent    Manner = "nonexistent"     // NXDOMAIN
	Failing        Manner = "failing"         // SERVFAIL
	Refusing       Manner = "refusing"        // REFUSED
	NotImplemented Manner = "not-implemented" // NOTIMP
	Silent         Manner = "silent"          // nothing
	Sinkholing     Manner = "sinkholing"      // 0.0.0.0 and ::
	Empty          Manner = "empty"           // the name, without an address
	Truncating     Manner = "truncating"      // cut over UDP, whole over TCP
	WrongID        Manner = "wrong-id"        // an answer that was not asked for
	WrongQuestion  Manner = "wrong-question"  // an answer to another question
	Garbage        Manner = "garbage"         // bytes that are no message
	LosingOne      Manner = "losing-one"      // the first packet of each question is lost
)

// Resolver is a name server over UDP and TCP. Its manner may change as it runs.
type Resolver struct {
	// Addr is IP:PORT.
	Addr     string
	udp, tcp *dns.Server

	mu     sync.Mutex
	manner Manner
	zone   map[string][]netip.Addr
	asked  map[string]int
}

// StartResolver listens on addr, as Loopback. zone has the addresses of names.
func StartResolver(addr string, manner Manner, zone map[string][]string) (*Resolver, error) {
	r := &Resolver{manner: manner, zone: map[string][]netip.Addr{}, asked: map[string]int{}}
	for name, addrs := range zone {
		for _, one := range addrs {
			a, err := netip.ParseAddr(one)
			if err != nil {
				return nil, fmt.Errorf("zone %s: %w", name, err)
			}
			r.zone[dns.Fqdn(name)] = append(r.zone[dns.Fqdn(name)], a)
		}
	}
	packets, listener, err := listenBoth(addr)
	if err != nil {
		return nil, err
	}
	r.Addr = listener.Addr().String()
	r.udp = &dns.Server{PacketConn: packets, Handler: dns.HandlerFunc(r.serve)}
	r.tcp = &dns.Server{Listener: listener, Handler: dns.HandlerFunc(r.serve)}
	for _, server := range []*dns.Server{r.udp, r.tcp} {
		ready := make(chan struct{})
		server.NotifyStartedFunc = func() { close(ready) }
		go func() { _ = server.ActivateAndServe() }()
		<-ready
	}
	return r, nil
}

// listenBoth finds a port that is free for UDP and for TCP, where addr names
// none.
func listenBoth(addr string) (net.PacketConn, net.Listener, error) {
	const tries = 20
	var err error
	for range tries {
		listener, tcpErr := net.Listen("tcp", addr)
		if tcpErr != nil {
			return nil, nil, fmt.Errorf("listen on TCP: %w", tcpErr)
		}
		packets, udpErr := net.ListenPacket("udp", listener.Addr().String())
		if udpErr == nil {
			return packets, listener, nil
		}
		_ = listener.Close()
		err = fmt.Errorf("listen on UDP: %w", udpErr)
	}
	return nil, nil, err
}

// Close ends it.
func (r *Resolver) Close() {
	_ = r.udp.Shutdown()
	_ = r.tcp.Shutdown()
}

// Behave changes the manner.
func (r *Resolver) Behave(m Manner) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.manner = m
}

// Asked is how many packets came with questions, over all names.
func (r *Resolver) Asked() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, times := range r.asked {
		n += times
	}
	return n
}

// serve answers one question.
func (r *Resolver) serve(w dns.ResponseWriter, q *dns.Msg) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(q.Question) != 1 {
		return
	}
	key := fmt.Sprint(q.Question[0].Name, q.Question[0].Qtype)
	r.asked[key]++
	reply := new(dns.Msg).SetReply(q)
	reply.RecursionAvailable = true
	_, overUDP := w.RemoteAddr().(*net.UDPAddr)
	switch r.manner {
	case Silent:
		return
	case LosingOne:
		if r.asked[key] == 1 {
			return
		}
		r.answer(reply)
	case Garbage:
		_, _ = w.Write([]byte{byte(q.Id >> 8), byte(q.Id), 0x81, 0x80, 0, 9, 0xff})
		return
	case Truncating:
		if overUDP {
			reply.Truncated = true
		} else {
			r.answer(reply)
		}
	case WrongID:
		r.answer(reply)
		reply.Id ^= 0x5555
	case WrongQuestion:
		reply.Question[0].Name = "elsewhere.example."
	case Nonexistent:
		reply.Rcode = dns.RcodeNameError
	case Failing:
		reply.Rcode = dns.RcodeServerFailure
	case Refusing:
		reply.Rcode = dns.RcodeRefused
	case NotImplemented:
		reply.Rcode = dns.RcodeNotImplemented
	case Sinkholing:
		r.add(reply, netip.IPv4Unspecified(), netip.IPv6Unspecified())
	case Answering:
		r.answer(reply)
	}
	_ = w.WriteMsg(reply)
}

// answer fills in what the zone has, in the way of the tenants' names: the name
// is another name of a shared host.
func (r *Resolver) answer(reply *dns.Msg) {
	q := reply.Question[0]
	if q.Name == "." {
		reply.Answer = append(reply.Answer, &dns.NS{
			Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeNS, Class: dns.ClassINET, Ttl: 60}, Ns: "a.root-servers.net.",
		})
		return
	}
	addrs, ok := r.zone[strings.ToLower(q.Name)]
	if !ok {
		reply.Rcode = dns.RcodeNameError
		return
	}
	r.add(reply, addrs...)
}

func (r *Resolver) add(reply *dns.Msg, addrs ...netip.Addr) {
	q := reply.Question[0]
	const shared = "shared.example."
	reply.Answer = append(reply.Answer, &dns.CNAME{
		Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeCNAME, Class: dns.ClassINET, Ttl: 60}, Target: shared,
	})
	for _, a := range addrs {
		head := dns.RR_Header{Name: shared, Class: dns.ClassINET, Ttl: 60}
		switch {
		case a.Is4() && q.Qtype == dns.TypeA:
			head.Rrtype = dns.TypeA
			reply.Answer = append(reply.Answer, &dns.A{Hdr: head, A: a.AsSlice()})
		case a.Is6() && q.Qtype == dns.TypeAAAA:
			head.Rrtype = dns.TypeAAAA
			reply.Answer = append(reply.Answer, &dns.AAAA{Hdr: head, AAAA: a.AsSlice()})
		}
	}
}
