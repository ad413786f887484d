package coordinator

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// crowdEnv names the file that describes a crowd: workers in a process of their
// own, so that their memory and processor time are not the coordinator's.
const crowdEnv = "CLOUDLESS_BENCH_CROWD"

// crowdFile is what the crowd knows.
type crowdFile struct {
	Coordinator string
	Bundle      string
	Members     []crowdMember
}

type crowdMember struct {
	Boot        model.BootID
	Body        trust.Body
	Key         []byte // seed
	Certificate string
}

// crowd is the other process, seen from the benchmark.
type crowd struct {
	b       *testing.B
	answers *bufio.Reader
	orders  func(string) error
}

// newCrowd starts the process.
func newCrowd(b *testing.B, file crowdFile) *crowd {
	b.Helper()
	path := filepath.Join(b.TempDir(), "crowd.json")
	data, err := json.Marshal(file)
	if err == nil {
		err = os.WriteFile(path, data, 0o600)
	}
	if err != nil {
		b.Fatal(err)
	}
	process := exec.Command(os.Args[0], "-test.run", "^TestCrowd$", "-test.cpu", "1", "-test.timeout", "1h")
	process.Env, process.Stderr = append(os.Environ(), crowdEnv+"="+path), os.Stderr
	in, err := process.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := process.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := process.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		in.Close()
		_ = process.Wait()
	})
	return &crowd{b: b, answers: bufio.NewReader(out), orders: func(order string) error { _, err := fmt.Fprintln(in, order); return err }}
}

// do gives an order and waits until it is carried out. It returns a number that
// the order asks for.
func (c *crowd) do(order string) int {
	c.b.Helper()
	if err := c.orders(order); err != nil {
		c.b.Fatal(err)
	}
	line, err := c.answers.ReadString('\n')
	word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	n, bad := strconv.Atoi(rest)
	if err != nil || word != "done" || bad != nil {
		c.b.Fatalf("crowd, %s: %q, %v", order, line, err)
	}
	return n
}

// TestCrowd is the crowd's process; it is no test.
func TestCrowd(t *testing.T) {
	path := os.Getenv(crowdEnv)
	if path == "" {
		t.Skip("serves the benchmarks")
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var file crowdFile
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	people := make([]*crowdWorker, len(file.Members))
	for i, m := range file.Members {
		people[i] = newCrowdWorker(t, file, m, i)
	}
	for orders := bufio.NewScanner(os.Stdin); orders.Scan(); {
		n, err := obey(t.Context(), people, orders.Text())
		if err != nil {
			fmt.Printf("failed %s: %v\n", orders.Text(), err)
			return
		}
		fmt.Printf("done %d\n", n)
	}
}

// obey carries out one order.
func obey(ctx context.Context, people []*crowdWorker, order string) (n int, err error) {
	digest := people[0].digest
	switch order {
	case "open": // all sessions, a few at a time
		room := make(chan struct{}, 32)
		for _, one := range people {
			go one.attend(ctx, room)
		}
		return len(people), until(func() bool { return count(people, (*crowdWorker).isUp) == len(people) })
	case "up":
		return count(people, (*crowdWorker).isUp), nil
	case "bundles":
		return count(people, func(w *crowdWorker) bool { return w.bundles.Load() > 0 }), nil
	case "keepalive":
		return len(people), each(people, func(w *crowdWorker) error {
			result, err := w.client.KeepAlive(ctx, api.KeepAlive{Boot: w.Boot, Body: w.Body, Bundle: digest, Now: model.Millis(time.Now().UnixMilli())})
			if err == nil && !result.Session {
				err = errors.New("not admitted")
			}
			return err
		})
	case "renew":
		return len(people), each(people, func(w *crowdWorker) error {
			answer, err := w.client.Renew(ctx)
			if err == nil && answer.Outcome != api.Admitted {
				err = errors.New(answer.Reason)
			}
			return err
		})
	}
	return 0, errors.New("unknown order")
}

func until(holds func() bool) error {
	for deadline := time.Now().Add(5 * time.Minute); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			return errors.New("took too long")
		}
	}
	return nil
}

func count(people []*crowdWorker, is func(*crowdWorker) bool) (n int) {
	for _, one := range people {
		if is(one) {
			n++
		}
	}
	return n
}

// each lets all do something, 16 at a time.
func each(people []*crowdWorker, do func(*crowdWorker) error) error {
	var all sync.WaitGroup
	var next atomic.Int64
	errs := make([]error, len(people))
	for range 16 {
		all.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(people); i = next.Add(1) - 1 {
				errs[i] = do(people[i])
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// crowdWorker connects as workerd does (pkg/worker, dial.go and session.go).
type crowdWorker struct {
	crowdMember
	digest  string
	client  *api.MemberClient
	up      atomic.Bool
	bundles atomic.Int64 // how often it was told the authorities
}

func (w *crowdWorker) isUp() bool { return w.up.Load() }

func newCrowdWorker(t *testing.T, file crowdFile, m crowdMember, i int) *crowdWorker {
	t.Helper()
	own := credentialsOf(t, api.Enrolment{Bundle: file.Bundle, Certificate: m.Certificate}, ed25519.NewKeyFromSeed(m.Key))
	config := own.Client(trust.RoleCoordinator, "h2", "http/1.1")
	// Addresses of their own, as hosts have.
	dialer := net.Dialer{Timeout: 10 * time.Second, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 1, byte(i/200), byte(1+i%200))}}
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 1, DialContext: dialer.DialContext,
		HTTP2: &http.HTTP2Config{SendPingTimeout: 10 * time.Second, PingTimeout: 5 * time.Second}}
	client, err := api.NewMemberClient("https://"+file.Coordinator, &http.Client{Transport: transport, Timeout: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return &crowdWorker{crowdMember: m, digest: api.BundleDigest(own.Bundle()), client: client}
}

// attend keeps a session, with the waits of workerd. The first one takes a place in
// room.
func (w *crowdWorker) attend(ctx context.Context, room chan struct{}) {
	room <- struct{}{}
	leave := sync.OnceFunc(func() { <-room })
	for failures := 0; ctx.Err() == nil; {
		lines := w.session(ctx, leave)
		w.up.Store(false)
		if lines > 0 {
			failures = 0
			time.Sleep(time.Duration(rand.Float64() * float64(time.Second)))
			continue
		}
		failures++
		wait := min(time.Second<<min(failures, 10), time.Minute)
		time.Sleep(wait/2 + time.Duration(rand.Float64()*float64(wait/2)))
	}
}

func (w *crowdWorker) session(ctx context.Context, begun func()) (lines int) {
	stream, err := w.client.Session(ctx, api.Session{Boot: w.Boot, Body: w.Body, Hostname: "web", Version: "v1", Bundle: w.digest,
		Now: model.Millis(time.Now().UnixMilli())})
	if err != nil {
		return 0
	}
	defer stream.Close()
	for ; ; lines++ {
		d, err := stream.Next()
		if err != nil {
			return lines
		}
		begun()
		w.up.Store(true)
		if d.Bundle != "" {
			w.bundles.Add(1)
		}
	}
}
