package collector

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/frame/frametest"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store"
	"github.com/cloudless-fleet/cloudless/pkg/stream"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/trusttest"
)

const (
	benchWorkers = 1000
	benchSeries  = 500
	benchFrames  = 200 // of each worker
	// benchPeer names the variable by which the process of the workers is told its address.
	benchPeer = "CLOUDLESS_BENCH_COLLECTOR"
)

// BenchmarkStreams takes frames of 500 series from 1,000 workers, each on a TLS connection of
// its own and with a certificate of its own, one frame a message, into a store on disk.
// The workers are another process: what is counted is the collector's processor time.
func BenchmarkStreams(b *testing.B) {
	fleet := trusttest.New(b, "lab")
	var files strings.Builder
	for i := range benchWorkers {
		f := fleet.Worker(id(i + 1))
		fmt.Fprintln(&files, f.Cert, f.Key, f.CA)
	}
	list := b.TempDir() + "/workers"
	if err := os.WriteFile(list, []byte(files.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	for range b.N {
		b.StopTimer()
		benchStreams(b, fleet, list)
	}
}

func benchStreams(b *testing.B, fleet *trusttest.Fleet, list string) {
	config := store.DefaultConfig()
	config.Dir, config.MinFree = b.TempDir(), 0
	config.Retention, config.MinuteRetention, config.HourRetention = 100*365*24*time.Hour, 0, 0
	s, err := store.Open(config, store.Deps{Log: quiet(), Now: time.Now})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	streams, err := stream.NewServer(stream.DefaultServerConfig(), stream.ServerDeps{Sink: openDoor{s}, Now: time.Now, Log: quiet()})
	if err != nil {
		b.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer listener.Close()
	own := fleet.Member(trust.RoleCollector, "hq")
	port, err := stream.NewPort(stream.DefaultPortConfig(), stream.PortDeps{Listener: listener, Stream: streams.Serve, Log: quiet(),
		TLS: own.Server(stream.PortProtocols(), trust.ClientOptional)})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = port.Run(ctx) })
	defer running.Wait()
	defer cancel()

	peer := exec.Command(os.Args[0], "-test.run", "^TestWorkersOfTheBenchmark$")
	peer.Env = append(os.Environ(), benchPeer+"="+listener.Addr().String()+" "+list)
	peer.Stderr = os.Stderr
	words, err := peer.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	start, err := peer.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := peer.Start(); err != nil {
		b.Fatal(err)
	}
	lines := bufio.NewScanner(words)
	await := func(word string) {
		for lines.Scan() {
			if lines.Text() == word {
				return
			}
		}
		b.Fatalf("the workers ended before they were %s", word)
	}
	await("connected")
	before := benchCPU(b)
	b.StartTimer()
	fmt.Fprintln(start, "go")
	await("delivered")
	b.StopTimer()
	used := benchCPU(b) - before
	samples := s.Stats().Samples
	if want := uint64(benchWorkers * (benchFrames + 1)); s.Stats().Frames != want {
		b.Errorf("%d frames, want %d", s.Stats().Frames, want)
	}
	b.ReportMetric(float64(samples)/used.Seconds()/1e6, "Msamples/CPU-s")
	b.ReportMetric(float64(used.Microseconds())/float64(benchWorkers*benchFrames), "CPU-us/frame")
	start.Close()
	if err := peer.Wait(); err != nil {
		b.Error(err)
	}
}

func benchCPU(b *testing.B) time.Duration {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// openDoor lets everybody into the store.
type openDoor struct{ store *store.Store }

func (d openDoor) Open(_ context.Context, p stream.Peer) (stream.Session, error) {
	session, err := d.store.OpenSession(store.Source{Worker: p.Worker, Boot: p.Boot, First: p.First, Instance: p.Worker.String()})
	if err != nil {
		return nil, refusalOf(err)
	}
	return &contactSession{Session: session, heard: func() {}}, nil
}

// TestWorkersOfTheBenchmark is the process of the workers. It does nothing by itself.
func TestWorkersOfTheBenchmark(t *testing.T) {
	addr, list, told := strings.Cut(os.Getenv(benchPeer), " ")
	if !told {
		t.Skip("for BenchmarkStreams")
	}
	files, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	records := benchRecords(t)
	first := len(records) - benchFrames
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var sources []*benchSource
	for i, line := range strings.Split(strings.TrimSpace(string(files)), "\n") {
		part := strings.Fields(line)
		who, err := trust.Load(trust.Files{Cert: part[0], Key: part[1], CA: part[2]}, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		source := newBenchSource(records, uint64(first))
		sources = append(sources, source)
		config := stream.DefaultClientConfig()
		config.ConnectTimeout = time.Minute
		client, err := stream.NewClient(config, stream.ClientDeps{Supply: stream.Single(source, source.Boot()), Now: time.Now, Random: func() float64 { return 0.5 },
			Connect: stream.TLSConnect(func() *tls.Config { return who.Client(trust.RoleCollector, stream.ALPN) })})
		if err != nil {
			t.Fatal(err)
		}
		go func() { _ = client.Run(ctx) }()
		client.SetEndpoint(addr)
		if i%50 == 49 {
			source.await(uint64(first))
		}
	}
	for _, s := range sources {
		s.await(uint64(first))
	}
	fmt.Println("connected")
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	for _, s := range sources {
		s.release(uint64(len(records)))
	}
	for _, s := range sources {
		s.await(uint64(len(records)))
	}
	fmt.Println("delivered")
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
}

// benchRecords are the encoded records of a host, numbered from 1: definitions, a
// frame, and those that are counted.
func benchRecords(t *testing.T) (raw [][]byte) {
	recording, err := frametest.Node()
	if err != nil {
		t.Fatal(err)
	}
	columns := 0
	var parts []model.Part
	for _, p := range recording.Parts {
		if columns+p.Columns() > benchSeries {
			break
		}
		columns += p.Columns()
		parts = append(parts, p)
	}
	layout, err := frame.NewLayout(parts)
	if err != nil {
		t.Fatal(err)
	}
	add := func(kind frame.Kind, stream model.StreamID, payload []byte) {
		raw = append(raw, frame.AppendRecord(nil, frame.Record{Seq: uint64(len(raw) + 1), Kind: kind, Stream: stream, Payload: payload}))
	}
	var named frame.Schema
	for _, p := range parts {
		encoded, err := frame.AppendPart(nil, p)
		if err != nil {
			t.Fatal(err)
		}
		named.Parts = append(named.Parts, frame.PartIDOf(encoded))
		add(frame.KindPart, 0, encoded)
	}
	add(frame.KindSchema, 1, frame.AppendSchema(nil, named))
	encoder := frame.NewEncoder(layout, named.ID(), 60)
	for i := range benchFrames + 1 {
		row := recording.Rows[i%len(recording.Rows)][:columns]
		payload, _ := encoder.Append(nil, recording.Start+model.Millis(1000*i), row)
		add(frame.KindFrame, 1, payload)
	}
	return raw
}

// benchSource gives one record a message, up to what was released.
type benchSource struct {
	records [][]byte

	mu    sync.Mutex
	most  uint64
	acked uint64
	moved *sync.Cond
	grown chan struct{}
}

func newBenchSource(records [][]byte, most uint64) *benchSource {
	s := &benchSource{records: records, most: most, grown: make(chan struct{})}
	s.moved = sync.NewCond(&s.mu)
	return s
}

func (s *benchSource) release(most uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.most = most
	close(s.grown)
	s.grown = make(chan struct{})
}

func (s *benchSource) await(seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.acked < seq {
		s.moved.Wait()
	}
}

func (s *benchSource) Boot() model.BootID      { return boot(1) }
func (s *benchSource) Range() (uint64, uint64) { return 1, uint64(len(s.records)) + 1 }
func (s *benchSource) Parts() []frame.PartID   { return nil }

func (s *benchSource) Context(uint64, func(frame.PartID) bool) ([]byte, error) { return nil, nil }

func (s *benchSource) Next(ctx context.Context, after uint64, dst []byte, _ int) ([]byte, uint64, error) {
	for {
		s.mu.Lock()
		most, grown := s.most, s.grown
		s.mu.Unlock()
		if after < most {
			return append(dst, s.records[after]...), after + 1, nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return dst, after, context.Cause(ctx)
		}
	}
}

func (s *benchSource) Acked(through uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acked = max(s.acked, through)
	s.moved.Broadcast()
}

func (s *benchSource) Rejected(uint64, uint64, uint32, stream.Cause, string) {}
