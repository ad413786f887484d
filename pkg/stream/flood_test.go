package stream

import (
	"crypto/tls"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// TestTenThousandBrokenConnections comes with every kind of visitor that has no
// business here, and with a worker that has a certificate and sends garbage.
// All of them are counted, none leaves anything behind, and an honest worker
// streams on.
func TestTenThousandBrokenConnections(t *testing.T) {
	v := newTown(t, func(c *PortConfig) { c.MaxHandshakes = 64 }, nil)
	source, honest := v.honest()
	source.sample(10)
	eventually(t, "the honest worker's first records", func() bool { return source.ackedSeq() == 12 })
	visit := rudeVisits(t, v)
	visit(200) // what is allocated once is allocated now
	before := settledHeap()

	const visits = 10_000
	live := make(chan struct{})
	stop := make(chan struct{})
	go func() {
		defer close(live)
		for {
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
				source.sample(1)
			}
		}
	}()
	visit(visits)
	close(stop)
	<-live

	eventually(t, "the honest worker's last records", func() bool { return source.ackedSeq() == source.last() })
	eventually(t, "every visitor counted", func() bool { return v.turnedAway() == visits+200 })
	eventually(t, "every visitor gone", func() bool {
		stats := v.port.Stats()
		return stats.Handshakes+stats.HTTP+stats.Lingering == 0 && stats.Streams == 1 && v.server.Stats().Connections == 1
	})
	if stats := honest.Stats(); stats.Connects != 1 {
		t.Errorf("the honest worker connected %d times, want once: %s", stats.Connects, stats.LastError)
	}
	if after := settledHeap(); after > before+4<<20 {
		t.Errorf("heap grew from %d to %d bytes", before, after)
	}
}

// turnedAway is how many connections came to nothing or ended.
func (v *town) turnedAway() (total uint64) {
	for _, n := range v.port.Stats().Failed {
		total += n
	}
	for _, n := range v.server.Stats().Ended {
		total += n
	}
	return total
}

// rudeVisits returns a function that makes n visits.
func rudeVisits(t *testing.T, v *town) func(n int) {
	garbler := credentials(t, v.ca, trust.Request{Role: trust.RoleWorker, Name: model.WorkerIDFrom([16]byte{9}).String()}, time.Now)
	nobody := v.worker().Client(trust.RoleCollector, ALPN)
	nobody.Certificates = nil
	garble := func(conn net.Conn, config *tls.Config, random *rand.Rand) {
		secured := tls.Client(conn, config)
		secured.SetDeadline(time.Now().Add(20 * time.Second))
		if secured.Handshake() == nil {
			secured.Write(garbage(random))
			secured.CloseWrite()
			secured.Read(make([]byte, 100))
		}
	}
	one := func(i int, random *rand.Rand) {
		conn, err := net.Dial("tcp", v.addr)
		if err != nil {
			t.Errorf("visit %d: %v", i, err)
			return
		}
		defer conn.Close()
		switch i % 20 { // full handshakes are the dear ones
		case 0:
			garble(conn, garbler.Client(trust.RoleCollector, ALPN), random)
		case 1:
			garble(conn, nobody, random)
		case 2, 3, 4:
			conn.Write([]byte{22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3})
		case 5, 6, 7:
		default:
			conn.Write(append([]byte{0}, garbage(random)...))
		}
	}
	return func(n int) {
		var visitors sync.WaitGroup
		for k := range 8 {
			visitors.Go(func() {
				random := rand.New(rand.NewPCG(uint64(k), 1))
				for i := k; i < n; i += 8 {
					one(i/8, random)
				}
			})
		}
		visitors.Wait()
	}
}

// garbage is random bytes, or what begins like a message or record.
func garbage(random *rand.Rand) []byte {
	b := make([]byte, 1+random.IntN(300))
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	switch random.IntN(4) {
	case 0:
		return append([]byte{byte(random.IntN(12)), byte(len(b)), byte(len(b) >> 8), 0}, b...)
	case 1:
		return append(appendMessage(nil, goodHello()), b...)
	case 2:
		return append(appendMessage(nil, goodHello()), appendMessage(nil, records{b})...)
	}
	return b
}

func settledHeap() uint64 {
	var stats runtime.MemStats
	for range 3 {
		runtime.GC()
	}
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
