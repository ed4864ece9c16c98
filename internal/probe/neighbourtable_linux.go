package probe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// errCut is a message of the kernel that ends too early.
var errCut = errors.New("netlink: a message is cut short")

// kernelTick is the unit of ages in netlink: USER_HZ is 100 on all machines.
const kernelTick = 10 * time.Millisecond

// ndmsgSize is the size of the kernel's struct ndmsg (linux/neighbour.h).
const ndmsgSize = 12

// readNeighbours reads the table for the family of a.
func readNeighbours(a netip.Addr) ([]neighbour, error) {
	raw, err := syscall.NetlinkRIB(unix.RTM_GETNEIGH, family(a))
	if err != nil {
		return nil, fmt.Errorf("read the neighbour table: %w", err)
	}
	return parseNeighbours(raw)
}

func family(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func parseNeighbours(raw []byte) ([]neighbour, error) {
	messages, err := syscall.ParseNetlinkMessage(raw)
	if err != nil {
		return nil, fmt.Errorf("read the neighbour table: %w", err)
	}
	var list []neighbour
	for _, m := range messages {
		if m.Header.Type != unix.RTM_NEWNEIGH {
			continue
		}
		if len(m.Data) < ndmsgSize {
			return nil, errCut
		}
		n := neighbour{
			link:  int(int32(binary.NativeEndian.Uint32(m.Data[4:]))),
			state: neighbourState(binary.NativeEndian.Uint16(m.Data[8:])),
		}
		if err := attributes(m.Data[ndmsgSize:], n.attribute); err != nil {
			return nil, err
		}
		list = append(list, n)
	}
	return list, nil
}

func (n *neighbour) attribute(kind uint16, value []byte) {
	switch {
	case kind == unix.NDA_DST:
		n.addr, _ = netip.AddrFromSlice(value)
	case kind == unix.NDA_LLADDR && len(value) == 6:
		n.mac = net.HardwareAddr(append([]byte(nil), value...))
	case kind == unix.NDA_CACHEINFO && len(value) >= 12:
		// struct nda_cacheinfo: confirmed, used, updated, references.
		n.confirmed = time.Duration(binary.NativeEndian.Uint32(value)) * kernelTick
		n.updated = time.Duration(binary.NativeEndian.Uint32(value[8:])) * kernelTick
	}
}

// attributes walks over the attributes of a routing message (linux/rtnetlink.h,
// struct rtattr: length and kind, padded to four bytes).
func attributes(data []byte, each func(kind uint16, value []byte)) error {
	for len(data) >= 4 {
		size := int(binary.NativeEndian.Uint16(data))
		if size < 4 || size > len(data) {
			return errCut
		}
		// The upper two bits are flags of the encoding (NLA_F_NESTED).
		each(binary.NativeEndian.Uint16(data[2:])&0x3fff, data[4:size])
		data = data[min((size+3)&^3, len(data)):]
	}
	return nil
}
