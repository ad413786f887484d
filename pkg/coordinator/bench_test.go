package coordinator

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cloudless-fleet/cloudless/pkg/admission"
	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/api/admin"
	"github.com/cloudless-fleet/cloudless/pkg/api/member"
	"github.com/cloudless-fleet/cloudless/pkg/api/middleware"
	"github.com/cloudless-fleet/cloudless/pkg/daemon"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/enrol"
	"github.com/cloudless-fleet/cloudless/pkg/trust/token"
)

// benchSessions is how many workers have a session.
const benchSessions = 2000

// benchHall is a coordinator that is measured: it logs nothing, as one that logs
// to somebody else's memory.
type benchHall struct {
	*coordinator
	tcp  string
	stop func()
}

func benchConfig(b *testing.B) Config {
	cfg := loopback(b)
	cfg.Enrol.EnrolRate, cfg.Enrol.EnrolRatePerAddress = 100_000, 100_000
	return cfg
}

func benchStart(b *testing.B, cfg Config) *benchHall {
	b.Helper()
	b.Cleanup(lean(os.Getenv))
	teardown := daemon.NewTeardown(quiet())
	stop := sync.OnceFunc(func() { _ = teardown.Run(context.Background()) })
	b.Cleanup(stop)
	c, err := open(cfg, daemon.Build{Version: "v1"}, quiet(), teardown, time.Now)
	if err != nil {
		b.Fatal(err)
	}
	at, err := c.start(cfg, quiet(), teardown, daemon.NewGroup(quiet(), teardown).Go)
	if err != nil {
		b.Fatal(err)
	}
	return &benchHall{coordinator: c, tcp: at.String(), stop: stop}
}

func numbered(n int) model.WorkerID {
	var number [16]byte
	binary.BigEndian.PutUint32(number[:], uint32(n+1))
	number[15] = byte(n) // package admission spreads ids by their bytes
	return model.WorkerIDFrom(number)
}

// benchMachine is the nth machine of a benchmark, with its wish to be let in.
func benchMachine(b *testing.B, n int, join *token.Token) (crowdMember, *enrol.Request) {
	b.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	m := crowdMember{Boot: model.BootIDFrom([16]byte(numbered(n))), Body: trust.Body{1, byte(n >> 8), byte(n)}, Key: key.Seed()}
	r := &enrol.Request{Worker: numbered(n), Hostname: "web", Body: m.Body}
	if err := r.Sign(key, join, rand.Reader, time.Now()); err != nil {
		b.Fatal(err)
	}
	return m, r
}

func (h *benchHall) join(b *testing.B, uses int) *token.Token {
	b.Helper()
	made, _, err := h.desk.CreateToken(admission.TokenSpec{Uses: uses, TTL: time.Hour})
	if err != nil {
		b.Fatal(err)
	}
	return &made
}

// enrol lets n machines in and registers them.
func (h *benchHall) enrol(b *testing.B, n int) crowdFile {
	b.Helper()
	file := crowdFile{Coordinator: h.tcp, Bundle: h.home.bundle().pem, Members: make([]crowdMember, n)}
	join := h.join(b, n)
	var all sync.WaitGroup
	room := make(chan struct{}, 200)
	for i := range n {
		m, request := benchMachine(b, i, join)
		room <- struct{}{}
		all.Go(func() {
			defer func() { <-room }()
			answer := members{h.coordinator}.Enrol(b.Context(), request, member.Peer{Addr: netip.MustParseAddr("10.0.0.8")})
			if answer.Outcome != api.Admitted {
				b.Errorf("machine %d: %+v", i, answer)
			}
			m.Certificate = answer.Certificate
			file.Members[i] = m
		})
	}
	all.Wait()
	for i := range n {
		h.registerAck(wish(numbered(i), "web"), netip.MustParseAddr("10.0.0.8"), false)
	}
	return file
}

// cost is what the process has used and holds.
type cost struct {
	cpu               time.Duration
	rss, heap, stacks int64 // bytes
	goroutines        int
	at                time.Time
}

func costNow(b testing.TB) cost {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	c := cost{cpu: time.Duration(u.Utime.Nano() + u.Stime.Nano()), heap: int64(m.HeapAlloc), stacks: int64(m.StackInuse), goroutines: runtime.NumGoroutine(), at: time.Now()}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	_, after, _ := bytes.Cut(status, []byte("VmRSS:"))
	if _, err := fmt.Sscanf(string(after), "%d kB", &c.rss); err != nil {
		b.Fatal(err)
	}
	c.rss <<= 10
	return c
}

// perCPU reports the processor time of something that was done n times since.
func (c cost) perCPU(b *testing.B, n int, unit string) {
	b.Helper()
	b.ReportMetric(float64(costNow(b).cpu-c.cpu)/float64(n)/1e3, "cpu-us/"+unit)
}

// memory reports what n sessions hold: first as they are, with the garbage that
// the collector has not looked for yet, then what is live.
func (c cost) memory(b *testing.B, n int) {
	b.Helper()
	kib := func(bytes int64) float64 { return float64(bytes) / 1024 / float64(n) }
	now := costNow(b)
	b.ReportMetric(kib(now.rss-c.rss), "rss-KiB/session")
	for range 4 { // stacks shrink by half each time
		runtime.GC()
	}
	now = costNow(b)
	b.ReportMetric(kib(now.heap-c.heap), "heap-KiB/session")
	b.ReportMetric(kib(now.stacks-c.stacks), "stack-KiB/session")
	b.ReportMetric(float64(now.goroutines-c.goroutines)/float64(n), "goroutines/session")
	profile(b)
}

// profile writes where memory is held, if the environment names a folder.
func profile(b *testing.B) {
	b.Helper()
	folder := os.Getenv("CLOUDLESS_BENCH_PROFILES")
	if folder == "" {
		return
	}
	for _, kind := range []string{"heap", "goroutine"} {
		file, err := os.Create(folder + "/" + kind + "-" + strconv.Itoa(b.N) + ".pprof")
		if err != nil {
			b.Fatal(err)
		}
		if err := pprof.Lookup(kind).WriteTo(file, 0); err != nil {
			b.Error(err)
		}
		file.Close()
	}
}

// still waits for the memory of what was done before to be given back.
func still(b *testing.B) cost {
	b.Helper()
	debug.FreeOSMemory()
	return costNow(b)
}

// BenchmarkFleet is the day of 2,000 workers: what an open session holds, and what
// each thing costs that workers do. One round, whatever b.N.
func BenchmarkFleet(b *testing.B) {
	h := benchStart(b, benchConfig(b))
	crowd := newCrowd(b, h.enrol(b, benchSessions))
	b.ResetTimer()
	before := still(b)
	crowd.do("open")
	before.perCPU(b, benchSessions, "session")
	begun := costNow(b)
	const rounds = 10
	for range rounds {
		crowd.do("keepalive")
	}
	begun.perCPU(b, rounds*benchSessions, "keepalive")
	begun = costNow(b)
	const idle = 2 * api.SessionPing
	time.Sleep(idle)
	b.ReportMetric(float64(costNow(b).cpu-begun.cpu)/idle.Seconds()/benchSessions/1e3, "cpu-us/idle-second")
	before.memory(b, benchSessions)
	begun = costNow(b)
	crowd.do("renew")
	begun.perCPU(b, benchSessions, "renewal")
	begun = costNow(b)
	if _, err := (office{h.coordinator}).Authority(b.Context(), admin.Actor{Who: "bench", Local: true}, admin.Prepare); err != nil {
		b.Fatal(err)
	}
	for crowd.do("bundles") < benchSessions {
		time.Sleep(10 * time.Millisecond)
	}
	b.ReportMetric(time.Since(begun.at).Seconds(), "s/roll-over")
	begun.perCPU(b, benchSessions, "roll-over")
}

// BenchmarkFloor is the same sessions on a bare server: what TLS and net/http
// take.
func BenchmarkFloor(b *testing.B) {
	h := benchStart(b, benchConfig(b))
	file := h.enrol(b, benchSessions)
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	file.Coordinator = plain.Addr().String()
	server := &http.Server{ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "{\"now_ms\":1}\n")
		_ = http.NewResponseController(w).Flush()
		if r.URL.Path == api.PathSession {
			<-r.Context().Done()
		}
	})}
	middleware.DefaultConfig().Apply(server)
	go func() {
		_ = server.Serve(tls.NewListener(plain, h.home.credentials.Server([]string{"h2"}, trust.ClientOptional)))
	}()
	b.Cleanup(func() { server.Close() })
	crowd := newCrowd(b, file)
	b.ResetTimer()
	before := still(b)
	crowd.do("open")
	before.perCPU(b, benchSessions, "session")
	time.Sleep(2 * api.SessionPing)
	before.memory(b, benchSessions)
}

// BenchmarkRestart is the time until all are back when the coordinator was started
// anew.
func BenchmarkRestart(b *testing.B) {
	cfg := benchConfig(b)
	h := benchStart(b, cfg)
	cfg.Control.Listen = h.tcp
	crowd := newCrowd(b, h.enrol(b, benchSessions))
	crowd.do("open")
	b.ResetTimer()
	h.stop()
	for crowd.do("up") > 0 {
		time.Sleep(10 * time.Millisecond)
	}
	again, begun := benchStart(b, cfg), costNow(b)
	half := time.Duration(0)
	for {
		up := crowd.do("up")
		if half == 0 && up >= benchSessions/2 {
			half = time.Since(begun.at)
		}
		if up == benchSessions {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	b.ReportMetric(half.Seconds(), "s/half-back")
	b.ReportMetric(time.Since(begun.at).Seconds(), "s/all-back")
	begun.perCPU(b, benchSessions, "session")
	b.ReportMetric(float64(again.connections.figures().refused.full), "refused")
}

// BenchmarkEnrol is one machine let in by a token, written to disk, with the audit
// log; without TLS.
func BenchmarkEnrol(b *testing.B) {
	for _, together := range []int{1, 200} {
		b.Run(fmt.Sprintf("%d at once", together), func(b *testing.B) {
			h := benchStart(b, benchConfig(b))
			wishes := make([]*enrol.Request, b.N)
			join := h.join(b, b.N)
			for i := range wishes {
				_, wishes[i] = benchMachine(b, i, join)
			}
			begun := costNow(b)
			b.ReportAllocs()
			b.ResetTimer()
			var next atomic.Int64
			var all sync.WaitGroup
			for range together {
				all.Go(func() {
					for i := int(next.Add(1)) - 1; i < b.N; i = int(next.Add(1)) - 1 {
						answer := members{h.coordinator}.Enrol(b.Context(), wishes[i], member.Peer{Addr: netip.MustParseAddr("10.0.0.8")})
						if answer.Outcome != api.Admitted {
							b.Errorf("machine %d: %+v", i, answer)
						}
					}
				})
			}
			all.Wait()
			begun.perCPU(b, b.N, "op")
		})
	}
}
