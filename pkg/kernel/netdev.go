package kernel

import "bytes"

// The counters of a network interface, in the order of the file.
const (
	NetReceiveBytes = iota
	NetReceivePackets
	NetReceiveErrors
	NetReceiveDropped // with packets the device had no buffer for
	NetReceiveFIFO
	NetReceiveFrame // length, overrun, CRC and frame errors
	NetReceiveCompressed
	NetReceiveMulticast
	NetTransmitBytes
	NetTransmitPackets
	NetTransmitErrors
	NetTransmitDropped
	NetTransmitFIFO
	NetTransmitCollisions
	NetTransmitCarrier // carrier, aborted, window and heartbeat errors
	NetTransmitCompressed
	NetFields
)

// Interface is one line of /proc/net/dev.
type Interface struct {
	Name  []byte // a slice of the input
	Stats [NetFields]uint64
}

// ParseNetDev appends the interfaces of /proc/net/dev (net/core/net-procfs.c,
// dev_seq_printf_stats) to dst and returns it.
func ParseNetDev(b []byte, dst []Interface) ([]Interface, error) {
	for number := 1; len(b) > 0; number++ {
		var line []byte
		line, b = cutLine(b)
		if number <= 2 {
			continue // two lines of headings
		}
		// The last colon: an alias has one in its name.
		colon := bytes.LastIndexByte(line, ':')
		if colon < 0 {
			return dst, formatError("net/dev", number, "name: numbers", line)
		}
		name, _ := cutField(line[:colon])
		if len(name) == 0 {
			return dst, formatError("net/dev", number, "a name before the colon", line)
		}
		dst = append(dst, Interface{Name: name})
		stats, rest := &dst[len(dst)-1].Stats, line[colon+1:]
		for i := range stats {
			var ok bool
			if stats[i], rest, ok = cutUint(rest); !ok {
				return dst[:len(dst)-1], formatError("net/dev", number, "16 numbers", line)
			}
		}
	}
	return dst, nil
}
