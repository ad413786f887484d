package stream

import (
	"errors"
	"math"
	"net"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

func TestFlight(t *testing.T) {
	var f flight
	for i := uint64(1); i <= 5; i++ {
		f.add(leg{through: 10 * i, bytes: i, missing: 1})
	}
	for _, c := range []struct{ through, missing, bytes uint64 }{
		{9, 0, 15}, {10, 1, 14}, {39, 2, 9}, {39, 0, 9}, {1000, 2, 0}, {2000, 0, 0},
	} {
		if missing := f.release(c.through).missing; missing != c.missing || f.bytes != c.bytes {
			t.Errorf("released through %d: %d missing, %d bytes left; want %d and %d", c.through, missing, f.bytes, c.missing, c.bytes)
		}
	}
}

func TestFlightIsBounded(t *testing.T) {
	var f flight
	const n = 3 * maxLegs
	for i := uint64(1); i <= n; i++ {
		f.add(leg{through: i, bytes: 1, missing: 2})
	}
	if len(f.legs) > maxLegs || f.bytes != n {
		t.Errorf("%d legs, %d bytes; want at most %d and %d", len(f.legs), f.bytes, maxLegs, n)
	}
	if missing := f.release(n - 1).missing; missing != 2*(maxLegs-1) || f.bytes != n-maxLegs+1 {
		t.Errorf("through the midst of a merged leg: %d missing, %d bytes left", missing, f.bytes)
	}
	if missing := f.release(n).missing; missing != 2*(n-maxLegs+1) || f.bytes != 0 || len(f.legs) != 0 {
		t.Errorf("through all: %d missing, %d bytes left", missing, f.bytes)
	}
}

func TestExchangeOfClocks(t *testing.T) {
	const ms = int64(time.Millisecond)
	for name, c := range map[string]struct {
		e      exchange
		offset time.Duration
		trip   time.Duration
		ok     bool
	}{
		"equal clocks, 10 ms each way":    {exchange{0, 10 * ms, 11 * ms, 21 * ms}, 0, 20 * time.Millisecond, true},
		"other side 1 s ahead":            {exchange{0, 1010 * ms, 1011 * ms, 21 * ms}, time.Second, 20 * time.Millisecond, true},
		"other side behind":               {exchange{5000 * ms, 10 * ms, 10 * ms, 5020 * ms}, -5 * time.Second, 20 * time.Millisecond, true},
		"one way only: off by half":       {exchange{0, 20 * ms, 20 * ms, 20 * ms}, 10 * time.Millisecond, 20 * time.Millisecond, true},
		"sent before it was received":     {exchange{0, 10 * ms, 9 * ms, 21 * ms}, 0, 0, false},
		"took longer there than here":     {exchange{0, 10 * ms, 50 * ms, 21 * ms}, 0, 0, false},
		"the end of time":                 {exchange{0, math.MaxInt64, math.MaxInt64, 21 * ms}, 0, 0, false},
		"the beginning of time":           {exchange{0, math.MinInt64, math.MinInt64, 21 * ms}, 0, 0, false},
		"from the beginning to the end":   {exchange{0, math.MinInt64, math.MaxInt64, 21 * ms}, 0, 0, false},
		"our own clock was set meanwhile": {exchange{1000 * ms, 0, 0, 10 * ms}, 0, 0, false},
	} {
		offset, trip, ok := c.e.offset()
		if offset != c.offset || trip != c.trip || ok != c.ok {
			t.Errorf("%s: %v in %v, %v; want %v in %v, %v", name, offset, trip, ok, c.offset, c.trip, c.ok)
		}
	}
}

func TestClockFilterTrustsTheShortestWay(t *testing.T) {
	var f clockFilter
	if _, ok := f.best(); ok {
		t.Errorf("knows an offset without a measurement")
	}
	add := func(offset, there, back time.Duration) {
		f.add(exchange{0, int64(offset + there), int64(offset + there), int64(there + back)})
	}
	add(time.Second, 300*time.Millisecond, 10*time.Millisecond)
	add(time.Second, time.Millisecond, time.Millisecond)
	add(time.Second, 10*time.Millisecond, 500*time.Millisecond)
	if best, _ := f.best(); best.offset != time.Second || best.roundTrip != 2*time.Millisecond {
		t.Errorf("got %+v, want one second by 2 ms", best)
	}
	add(time.Hour, 50*time.Millisecond, 10*time.Millisecond) // a clock was set: no long way explains it
	if best, _ := f.best(); best.offset != time.Hour+20*time.Millisecond {
		t.Errorf("after a step: got %+v, want the hour", best)
	}
	for range 20 { // what is old is forgotten
		add(time.Hour, 5*time.Millisecond, 5*time.Millisecond)
	}
	if best, _ := f.best(); best.offset != time.Hour {
		t.Errorf("after twenty more: got %+v, want the hour", best)
	}
}

func TestRejectionsAreMergedAndBounded(t *testing.T) {
	var list []reject
	for seq := uint64(1); seq <= 5; seq++ {
		list = addReject(list, seq, &Refusal{Cause: CauseFuture, Text: "future"})
	}
	list = addReject(list, 7, &Refusal{Cause: CauseLimit, Text: "limit"})
	want := []reject{{CauseFuture, 1, 5, 5, "future"}, {CauseLimit, 7, 7, 1, "limit"}}
	if diff := cmp.Diff(want, list, cmp.AllowUnexported(reject{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	total := uint32(0)
	for seq := uint64(8); seq < 1000; seq++ {
		list = addReject(list, seq, &Refusal{Cause: Cause(seq % 3)})
	}
	for _, r := range list {
		total += r.records
	}
	if len(list) > maxRejects || total != 6+992 {
		t.Errorf("%d rejections of %d records, want at most %d of %d", len(list), total, maxRejects, 6+992)
	}
	if _, _, err := parseMessage(appendMessage(nil, list[len(list)-1])); err != nil {
		t.Errorf("the newest does not fit the wire: %v", err)
	}
}

// TestSlowLargeMessageHoldsLittle: a header that promises a megabyte does not
// make the reader allocate one.
func TestSlowLargeMessageHoldsLittle(t *testing.T) {
	const n = 200
	var before, after runtime.MemStats
	synctest.Test(t, func(t *testing.T) {
		buffers := newBuffers()
		done := make(chan error)
		var conns []net.Conn
		runtime.GC()
		runtime.ReadMemStats(&before)
		for range n {
			near, far := net.Pipe()
			conns = append(conns, near)
			go func() {
				_, _, err := newWire(far, buffers, time.Minute).read()
				done <- err
			}()
			near.Write([]byte{byte(kindRecords), 0, 0, 0x10})
			near.Write(make([]byte, 100))
		}
		synctest.Wait()
		runtime.GC()
		runtime.ReadMemStats(&after)
		for _, conn := range conns {
			conn.Close()
			if err := <-done; endOf(err) != EndLost {
				t.Errorf("got %v, want lost", err)
			}
		}
	})
	if each := int64(after.HeapAlloc-before.HeapAlloc) / n; each > 64<<10 {
		t.Errorf("%d bytes of heap for a message of which 100 bytes came", each)
	}
}

func TestConfigs(t *testing.T) {
	for name, err := range map[string]error{"client": DefaultClientConfig().Validate(), "server": DefaultServerConfig().Validate(), "port": DefaultPortConfig().Validate()} {
		if err != nil {
			t.Errorf("default configuration of the %s: %v", name, err)
		}
	}
	client := func(change func(*ClientConfig)) error {
		c := DefaultClientConfig()
		change(&c)
		return c.Validate()
	}
	server := func(change func(*ServerConfig)) error {
		c := DefaultServerConfig()
		change(&c)
		return c.Validate()
	}
	port := func(change func(*PortConfig)) error {
		c := DefaultPortConfig()
		change(&c)
		return c.Validate()
	}
	for key, errs := range map[string][]error{
		"connect_timeout":   {client(func(c *ClientConfig) { c.ConnectTimeout = 0 })},
		"ping_interval":     {client(func(c *ClientConfig) { c.PingInterval = 0 }), server(func(c *ServerConfig) { c.PingInterval = 0 })},
		"idle_timeout":      {client(func(c *ClientConfig) { c.IdleTimeout = c.PingInterval }), server(func(c *ServerConfig) { c.IdleTimeout = c.PingInterval })},
		"backoff_min":       {client(func(c *ClientConfig) { c.BackoffMin = 0 })},
		"backoff_max":       {client(func(c *ClientConfig) { c.BackoffMax = c.BackoffMin - 1 })},
		"refused_retry":     {client(func(c *ClientConfig) { c.RefusedRetry = 0 })},
		"batch":             {client(func(c *ClientConfig) { c.Batch = 0 }), client(func(c *ClientConfig) { c.Batch = 2 * model.MiB })},
		"backfill_rate":     {client(func(c *ClientConfig) { c.BackfillRate = leastRate - 1 })},
		"stop_timeout":      {client(func(c *ClientConfig) { c.StopTimeout = 0 })},
		"max_connections":   {server(func(c *ServerConfig) { c.MaxConnections = 0 })},
		"hello_timeout":     {server(func(c *ServerConfig) { c.HelloTimeout = 0 })},
		"window":            {server(func(c *ServerConfig) { c.Window = 0 })},
		"window_total":      {server(func(c *ServerConfig) { c.WindowTotal = 0 })},
		"handshake_timeout": {port(func(c *PortConfig) { c.HandshakeTimeout = 0 })},
		"max_handshakes":    {port(func(c *PortConfig) { c.MaxHandshakes = 0 })},
		"max_http":          {port(func(c *PortConfig) { c.MaxHTTP = 0 })},
	} {
		for _, err := range errs {
			var field *model.FieldError
			if !errors.As(err, &field) || field.Key != key {
				t.Errorf("%s: got %v, want it named", key, err)
			}
		}
	}
}
