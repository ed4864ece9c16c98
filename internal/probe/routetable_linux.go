package probe

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// Sizes of the kernel's struct rtmsg and struct rtnexthop (linux/rtnetlink.h).
const (
	rtmsgSize     = 12
	rtnexthopSize = 8
)

// readDefaults lists the default routes of both families, of all tables.
func readDefaults() ([]hop, error) {
	var hops []hop
	for _, fam := range []int{unix.AF_INET, unix.AF_INET6} {
		raw, err := syscall.NetlinkRIB(unix.RTM_GETROUTE, fam)
		if err != nil {
			return nil, fmt.Errorf("read the routes: %w", err)
		}
		more, err := parseDefaults(raw)
		if err != nil {
			return nil, err
		}
		hops = append(hops, more...)
	}
	return hops, nil
}

func parseDefaults(raw []byte) ([]hop, error) {
	messages, err := syscall.ParseNetlinkMessage(raw)
	if err != nil {
		return nil, fmt.Errorf("read the routes: %w", err)
	}
	var hops []hop
	for _, m := range messages {
		if m.Header.Type != unix.RTM_NEWROUTE {
			continue
		}
		if len(m.Data) < rtmsgSize {
			return nil, errCut
		}
		more, err := parseRoute(m.Data)
		if err != nil {
			return nil, err
		}
		hops = append(hops, more...)
	}
	return hops, nil
}

// parseRoute reads one route; only unicast routes to everywhere are ways out.
func parseRoute(data []byte) ([]hop, error) {
	bits, kind, flags := data[1], data[7], binary.NativeEndian.Uint32(data[8:])
	if bits != 0 || kind != unix.RTN_UNICAST || flags&unix.RTM_F_CLONED != 0 {
		return nil, nil
	}
	one := hop{v6: data[0] == unix.AF_INET6, dead: isDead(flags)}
	var several []hop
	var cut error
	err := attributes(data[rtmsgSize:], func(kind uint16, value []byte) {
		if kind == unix.RTA_MULTIPATH {
			several, cut = parseNextHops(value, one.v6)
			return
		}
		one.attribute(kind, value)
	})
	switch {
	case err != nil:
		return nil, err
	case cut != nil:
		return nil, cut
	case several != nil:
		return several, nil
	}
	return []hop{one}, nil
}

// parseNextHops reads the steps of a route that is shared between several.
func parseNextHops(data []byte, v6 bool) ([]hop, error) {
	var hops []hop
	for len(data) >= rtnexthopSize {
		size := int(binary.NativeEndian.Uint16(data))
		if size < rtnexthopSize || size > len(data) {
			return nil, errCut
		}
		h := hop{v6: v6, link: int(int32(binary.NativeEndian.Uint32(data[4:]))), dead: isDead(uint32(data[2]))}
		if err := attributes(data[rtnexthopSize:size], h.attribute); err != nil {
			return nil, err
		}
		hops = append(hops, h)
		data = data[min((size+3)&^3, len(data)):]
	}
	return hops, nil
}

func (h *hop) attribute(kind uint16, value []byte) {
	switch {
	case kind == unix.RTA_GATEWAY:
		h.gateway, _ = netip.AddrFromSlice(value)
	case kind == unix.RTA_VIA && len(value) > 2:
		h.gateway, _ = netip.AddrFromSlice(value[2:]) // IPv4 by an IPv6 router (RFC 5549)
	case kind == unix.RTA_OIF && len(value) == 4:
		h.link = int(int32(binary.NativeEndian.Uint32(value)))
	}
}

func isDead(flags uint32) bool { return flags&(unix.RTNH_F_DEAD|unix.RTNH_F_LINKDOWN) != 0 }
