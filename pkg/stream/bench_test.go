package stream

import (
	"context"
	"crypto/tls"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// BenchmarkTLSLoopback sends records of the size of a frame of 500 series (300
// bytes) from one worker to a collector that throws them away, both in this
// process: backlog comes in full messages, live one record at a time.
func BenchmarkTLSLoopback(b *testing.B) {
	for name, batch := range map[string]int{"backlog": 1 << 30, "live": 1} {
		b.Run(name, func(b *testing.B) { benchmarkTLS(b, batch) })
	}
}

func benchmarkTLS(b *testing.B, recordsEach int) {
	source := &benchSource{last: uint64(b.N), each: recordsEach, done: make(chan struct{})}
	source.raw = frame.AppendRecord(nil, frame.Record{Seq: 1, Kind: frame.KindFrame, Payload: make([]byte, 300)})
	sink := &benchSink{}
	server, err := NewServer(DefaultServerConfig(), ServerDeps{Sink: sink, Now: time.Now})
	if err != nil {
		b.Fatal(err)
	}
	ca := newCA(b, "lab")
	own := credentials(b, ca, trust.Request{Role: trust.RoleCollector, Name: "m"}, time.Now)
	who := credentials(b, ca, trust.Request{Role: trust.RoleWorker, Name: testWorker.String()}, time.Now)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", own.Server(PortProtocols(), trust.ClientOptional))
	if err != nil {
		b.Fatal(err)
	}
	defer listener.Close()
	go func() {
		if conn, err := listener.Accept(); err == nil {
			server.Serve(context.Background(), conn, workerIdentity())
		}
	}()
	client, err := NewClient(DefaultClientConfig(), ClientDeps{Supply: singleOf(source), Now: time.Now, Random: func() float64 { return 0 },
		Connect: TLSConnect(func() *tls.Config { return who.Client(trust.RoleCollector, ALPN) })})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	b.SetBytes(int64(len(source.raw)))
	b.ReportAllocs()
	b.ResetTimer()
	go func() {
		defer close(stopped)
		client.Run(ctx)
	}()
	client.SetEndpoint(listener.Addr().String())
	<-source.done
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	cancel()
	<-stopped
}

// benchSource has the same record any number of times, under rising numbers.
type benchSource struct {
	raw  []byte
	last uint64
	each int
	done chan struct{}
}

func (s *benchSource) Boot() model.BootID                                      { return model.BootIDFrom([16]byte{1}) }
func (s *benchSource) Range() (first, next uint64)                             { return 1, s.last + 1 }
func (s *benchSource) Parts() []frame.PartID                                   { return nil }
func (s *benchSource) Context(uint64, func(frame.PartID) bool) ([]byte, error) { return nil, nil }

func (s *benchSource) Next(ctx context.Context, after uint64, dst []byte, most int) ([]byte, uint64, error) {
	if after == s.last {
		<-ctx.Done()
		return dst, after, ctx.Err()
	}
	n := min(max(1, most/(len(s.raw)+10)), s.each)
	payload := s.raw[len(s.raw)-304 : len(s.raw)-4]
	for ; n > 0 && after < s.last; n-- {
		after++
		dst = frame.AppendRecord(dst, frame.Record{Seq: after, Kind: frame.KindFrame, Payload: payload})
	}
	return dst, after, nil
}

func (s *benchSource) Rejected(uint64, uint64, uint32, Cause, string) {}

func (s *benchSource) Acked(through uint64) {
	if through == s.last {
		close(s.done)
	}
}

// benchSink takes everything and calls it durable.
type benchSink struct{ seq atomic.Uint64 }

func (s *benchSink) Open(context.Context, Peer) (Session, error) { return s, nil }
func (s *benchSink) Resume() uint64                              { return 0 }
func (s *benchSink) Wanted(o []frame.PartID) []bool              { return make([]bool, len(o)) }
func (s *benchSink) Durable() (uint64, <-chan struct{})          { return s.seq.Load(), nil }
func (s *benchSink) Close() error                                { return nil }
func (s *benchSink) Append(r frame.Record, raw []byte) error     { s.seq.Store(r.Seq); return nil }
