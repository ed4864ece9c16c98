package probe

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// lan is a network of two machines in namespaces of their own: the gateway with
// 192.0.2.1 and 2001:db8::1, and a device with the given MAC, 192.0.2.10 and
// 2001:db8::10.
type lan struct{ gateway, device string }

var lans atomic.Int32

// newLAN needs root and iproute2. Where that is not there the test is skipped
// with the reason, but not in CI.
func newLAN(t *testing.T, deviceMAC string) lan {
	t.Helper()
	id := fmt.Sprintf("%d-%d", os.Getpid(), lans.Add(1))
	l := lan{gateway: "fm-gw-" + id, device: "fm-dev-" + id}
	for _, name := range []string{l.gateway, l.device} {
		if out, err := exec.Command("ip", "netns", "add", name).CombinedOutput(); err != nil {
			refuse := t.Skipf
			if os.Getenv("CI") == "true" {
				refuse = t.Fatalf
			}
			refuse("network namespaces need root and iproute2: %v: %s", err, out)
		}
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", name).Run() })
	}
	l.ip(t, l.gateway, "link add lan0 type veth peer name eth0 netns "+l.device)
	l.ip(t, l.device, "link set eth0 address "+deviceMAC)
	for _, name := range []string{l.gateway, l.device} {
		l.ip(t, name, "link set lo up")
	}
	l.ip(t, l.gateway, "addr add 192.0.2.1/24 brd + dev lan0")
	l.ip(t, l.gateway, "addr add 2001:db8::1/64 dev lan0 nodad")
	l.ip(t, l.device, "addr add 192.0.2.10/24 brd + dev eth0")
	l.ip(t, l.device, "addr add 2001:db8::10/64 dev eth0 nodad")
	l.ip(t, l.gateway, "link set lan0 up")
	l.ip(t, l.device, "link set eth0 up")
	return l
}

func (l lan) ip(t *testing.T, namespace, args string) {
	t.Helper()
	cmd := exec.Command("ip", append([]string{"-n", namespace}, strings.Fields(args)...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("ip -n %s %s: %v: %s", namespace, args, err, out)
	}
}

// sysctl sets a kernel setting of a namespace.
func (l lan) sysctl(t *testing.T, namespace, file, value string) {
	t.Helper()
	err := within(namespace, func() error {
		return os.WriteFile(filepath.Join("/proc/sys", file), []byte(value), 0)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// within runs do in a namespace, on a thread of its own that ends with it.
// Sockets that do opens stay in the namespace.
func within(namespace string, do func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread is of no more use
		f, err := os.Open("/run/netns/" + namespace)
		if err != nil {
			done <- err
			return
		}
		defer f.Close()
		if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("enter %s: %w", namespace, err)
			return
		}
		done <- do()
	}()
	return <-done
}

// ask runs a probe at the gateway.
func (l lan) ask(t *testing.T, probe Func, target Target) Answer {
	t.Helper()
	var a Answer
	err := within(l.gateway, func() error {
		a = probe(t.Context(), target)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// listen opens a UDP socket at the device.
func (l lan) listen(t *testing.T, address string) net.PacketConn {
	t.Helper()
	var c net.PacketConn
	err := within(l.device, func() (err error) {
		c, err = net.ListenPacket("udp4", address)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// capture notes the payloads of all UDP datagrams that reach the device's
// machine over IPv4, whatever their port; the returned func ends it.
func (l lan) capture(t *testing.T) func() [][]byte {
	t.Helper()
	var fd int
	err := within(l.device, func() (err error) {
		const ipv4 = 0x0008 // ETH_P_IP in network order
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, ipv4)
		if err == nil {
			err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 10_000})
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	stop, done := make(chan struct{}), make(chan [][]byte)
	go func() {
		defer unix.Close(fd)
		var payloads [][]byte
		packet := make([]byte, 2048)
		for {
			n, from, err := unix.Recvfrom(fd, packet, 0)
			if link, ok := from.(*unix.SockaddrLinklayer); err == nil && ok && link.Pkttype != unix.PACKET_OUTGOING &&
				n >= 28 && packet[9] == unix.IPPROTO_UDP {
				payloads = append(payloads, append([]byte(nil), packet[28:n]...))
			}
			select {
			case <-stop:
				done <- payloads
				return
			default:
			}
		}
	}()
	return func() [][]byte { close(stop); return <-done }
}
