package discovery

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The log is told once where workers are called, and again when it changes.
func TestProberTells(t *testing.T) {
	var text bytes.Buffer
	plain := func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}
	p := &Prober{log: slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{ReplaceAttr: plain}))}
	f := func(chosen []InterfaceStats, skipped []SkippedInterface, want string) {
		t.Helper()
		text.Reset()
		p.tell(chosen, skipped)
		if diff := cmp.Diff(want, strings.TrimSuffix(text.String(), "\n")); diff != "" {
			t.Errorf("log (-want +got):\n%s", diff)
		}
	}
	const nowhere = `level=WARN msg="no interface to call workers by; list one in discovery.interfaces, or hosts in discovery.targets" left_out=`
	lo := SkippedInterface{"lo", SkipLoopback}
	f(nil, []SkippedInterface{lo, {"br0", SkipBridge}}, nowhere+`"[br0: bridge]"`)
	f(nil, []SkippedInterface{lo, {"br0", SkipBridge}, {"tap0", SkipTunnel}}, "")
	f([]InterfaceStats{{Name: "eth1"}, {Name: "eth0"}}, []SkippedInterface{lo, {"br0", SkipBridge}},
		`level=INFO msg="calling workers" interfaces="[eth0 eth1]" targets=0 left_out="[br0: bridge]"`)
	f([]InterfaceStats{{Name: "eth0"}, {Name: "eth1"}}, nil, "")
	f(nil, []SkippedInterface{lo}, nowhere+"[]")

	p.targets = make([]target, 2)
	p.told = nil
	f(nil, nil, `level=INFO msg="calling workers" interfaces=[] targets=2 left_out=[]`)
}

func TestLeftOutIsShort(t *testing.T) {
	var skipped []SkippedInterface
	for i := range 100 {
		skipped = append(skipped, SkippedInterface{fmt.Sprintf("veth%d", i), SkipVeth})
	}
	got := leftOut(skipped)
	if len(got) != mostTold+1 || got[0] != "veth0: veth" || got[mostTold] != "and 92 more" {
		t.Errorf("got %q", got)
	}
}
