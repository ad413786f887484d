package discovery

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestParseTarget(t *testing.T) {
	f := func(text, host, addr string, port uint16) {
		t.Helper()
		got, err := parseTarget(text, 10300)
		if err != nil {
			t.Errorf("parseTarget(%q): %v", text, err)
			return
		}
		gotAddr := ""
		if got.addr.IsValid() {
			gotAddr = got.addr.String()
		}
		if got.host != host || gotAddr != addr || got.port != port {
			t.Errorf("parseTarget(%q) = %+v, want host %q, address %q, port %d", text, got, host, addr, port)
		}
	}
	f("worker1", "worker1", "", 10300)
	f("worker1.example:10500", "worker1.example", "", 10500)
	f("192.0.2.1", "192.0.2.1", "192.0.2.1", 10300)
	f("192.0.2.1:1", "192.0.2.1", "192.0.2.1", 1)
	f("2001:db8::1", "2001:db8::1", "2001:db8::1", 10300)
	f("[2001:db8::1]:9", "2001:db8::1", "2001:db8::1", 9)
	f("[fe80::1%eth0]:9", "fe80::1%eth0", "fe80::1%eth0", 9)
	f("::ffff:192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1", 10300)

	for _, bad := range []string{"", ":1", "worker1:", "worker1:0", "worker1:65536", "worker1:x", "[2001:db8::1", "[worker1]",
		"a:b:c", "wor ker", "worker1/24", strings.Repeat("x", 254)} {
		if got, err := parseTarget(bad, 10300); err == nil {
			t.Errorf("parseTarget(%q) = %+v, want an error", bad, got)
		}
	}
}

// A dead name server holds a round for its deadline and no longer, and never
// with more than a few lookups at a time.
func TestLookupsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int64
		hang := func(ctx context.Context, network, host string) ([]netip.Addr, error) {
			most.Store(max(most.Load(), now.Add(1)))
			defer now.Add(-1)
			<-ctx.Done()
			return nil, ctx.Err()
		}
		var targets []target
		for i := range maxTargets {
			targets = append(targets, target{host: fmt.Sprint("host", i)})
		}
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		for _, answer := range resolve(ctx, targets, hang) {
			if !errors.Is(answer.err, context.DeadlineExceeded) {
				t.Errorf("%s: %v", answer.target.host, answer.err)
			}
		}
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("the lookups took %v, want 5s", took)
		}
		if most.Load() != lookupsAtOnce {
			t.Errorf("%d lookups at once, want %d", most.Load(), lookupsAtOnce)
		}
	})
}
