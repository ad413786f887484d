package fleettest

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// wire is a raw socket of a host, which hears every frame that comes to its port
// of the segment and sends any.
type wire struct {
	t    *testing.T
	file *os.File
	mac  mac

	mu    sync.Mutex
	heard []datagram // UDP over IPv4 of others, in order
}

type mac [6]byte

// datagram is an UDP datagram of the wire.
type datagram struct {
	sender, receiver mac
	from, to         netip.AddrPort
	payload          []byte
}

// tap opens a wire on the host.
func (h *host) tap(t *testing.T) *wire {
	t.Helper()
	h.lan.ip("-n", h.ns, "link", "set", "eth0", "promisc", "on")
	w := &wire{t: t, mac: h.mac(t)}
	err := h.inside(t, func() error {
		const all = unix.ETH_P_ALL>>8 | unix.ETH_P_ALL<<8&0xff00 // in network order
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, all)
		if err != nil {
			return err
		}
		w.file = os.NewFile(uintptr(fd), "wire")
		eth0, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: eth0.Index})
	})
	if err != nil {
		t.Fatalf("%s: tap the wire: %v", h.name, err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.listen()
	}()
	t.Cleanup(func() {
		w.file.Close()
		<-done
	})
	return w
}

// mac is the address of the host's eth0.
func (h *host) mac(t *testing.T) (address mac) {
	t.Helper()
	err := h.inside(t, func() error {
		eth0, err := net.InterfaceByName("eth0")
		if err == nil {
			copy(address[:], eth0.HardwareAddr)
		}
		return err
	})
	if err != nil {
		t.Fatalf("%s: address of eth0: %v", h.name, err)
	}
	return address
}

func (w *wire) listen() {
	buffer := make([]byte, 64<<10)
	for {
		n, err := w.file.Read(buffer)
		if err != nil {
			return // closed
		}
		if d, ok := parseDatagram(buffer[:n]); ok && d.sender != w.mac {
			w.mu.Lock()
			w.heard = append(w.heard, d)
			w.mu.Unlock()
		}
	}
}

// mark is a place in what was heard.
func (w *wire) mark() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.heard)
}

// since are the datagrams that were heard behind a mark and are wanted.
func (w *wire) since(mark int, want func(datagram) bool) []datagram {
	w.mu.Lock()
	defer w.mu.Unlock()
	var found []datagram
	for _, d := range w.heard[mark:] {
		if want(d) {
			found = append(found, d)
		}
	}
	return found
}

// catch waits for the first datagram behind a mark that is wanted.
func (w *wire) catch(mark int, what string, want func(datagram) bool) (caught datagram) {
	w.t.Helper()
	eventually(w.t, patience, 10*time.Millisecond, what+" on the wire", func() error {
		found := w.since(mark, want)
		if len(found) == 0 {
			return os.ErrDeadlineExceeded
		}
		caught = found[0]
		return nil
	})
	return caught
}

// send puts a datagram on the wire, whatever it says of where it comes from.
func (w *wire) send(d datagram) error {
	d.sender = w.mac
	_, err := w.file.Write(d.frame())
	return err
}

const (
	ethernetHeader = 14
	ipHeader       = 20
	udpHeader      = 8
	etherTypeIPv4  = 0x0800
	protocolUDP    = 17
)

// frame is the Ethernet frame of a datagram. UDP's checksum is left out, which
// IPv4 allows.
func (d datagram) frame() []byte {
	frame := make([]byte, ethernetHeader+ipHeader+udpHeader, ethernetHeader+ipHeader+udpHeader+len(d.payload))
	copy(frame, d.receiver[:])
	copy(frame[6:], d.sender[:])
	binary.BigEndian.PutUint16(frame[12:], etherTypeIPv4)
	ip := frame[ethernetHeader:]
	ip[0], ip[8], ip[9] = 0x45, 64, protocolUDP
	binary.BigEndian.PutUint16(ip[2:], uint16(ipHeader+udpHeader+len(d.payload)))
	source, target := d.from.Addr().As4(), d.to.Addr().As4()
	copy(ip[12:], source[:])
	copy(ip[16:], target[:])
	binary.BigEndian.PutUint16(ip[10:], checksum(ip[:ipHeader]))
	udp := ip[ipHeader:]
	binary.BigEndian.PutUint16(udp, d.from.Port())
	binary.BigEndian.PutUint16(udp[2:], d.to.Port())
	binary.BigEndian.PutUint16(udp[4:], uint16(udpHeader+len(d.payload)))
	return append(frame, d.payload...)
}

// checksum is that of an IPv4 header.
func checksum(header []byte) uint16 {
	sum := uint32(0)
	for i := 0; i < len(header); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(header[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// parseDatagram reads a frame that holds a whole datagram.
func parseDatagram(frame []byte) (d datagram, ok bool) {
	if len(frame) < ethernetHeader+ipHeader+udpHeader || binary.BigEndian.Uint16(frame[12:]) != etherTypeIPv4 {
		return d, false
	}
	ip := frame[ethernetHeader:]
	length := int(ip[0]&15) * 4
	if ip[9] != protocolUDP || binary.BigEndian.Uint16(ip[6:])&0x3fff != 0 || len(ip) < length+udpHeader {
		return d, false
	}
	udp := ip[length:]
	size := int(binary.BigEndian.Uint16(udp[4:]))
	if size < udpHeader || size > len(udp) {
		return d, false
	}
	copy(d.receiver[:], frame)
	copy(d.sender[:], frame[6:])
	d.from = netip.AddrPortFrom(netip.AddrFrom4([4]byte(ip[12:16])), binary.BigEndian.Uint16(udp))
	d.to = netip.AddrPortFrom(netip.AddrFrom4([4]byte(ip[16:20])), binary.BigEndian.Uint16(udp[2:]))
	d.payload = append(d.payload, udp[udpHeader:size]...)
	return d, true
}
