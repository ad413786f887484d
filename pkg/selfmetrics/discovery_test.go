package selfmetrics

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/crm"
	"github.com/cloudless-fleet/cloudless/pkg/discovery"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/selfmetrics/metricstest"
	"github.com/cloudless-fleet/cloudless/pkg/trust/packet"
)

func TestEveryFigureOfAPortIsTold(t *testing.T) {
	listen := discovery.ListenStats{Datagrams: 101, Bytes: 102, Unexpected: 103, ReadErrors: 104}
	want := map[float64]string{101: "", 102: "", 103: "unexpected", 104: ""}
	for reason := range listen.Refused {
		listen.Refused[reason] = uint64(200 + reason)
		want[float64(200+reason)] = crm.Reason(reason).String()
	}
	for reason := packet.OK + 1; int(reason) < packet.NumReasons; reason++ {
		listen.Untrusted[reason] = 400 + uint64(reason)
		want[400+float64(reason)] = reason.String()
	}
	listen.Limited = 500
	want[500] = "rate_limit"
	send := discovery.SendStats{Sent: 301, SendErrors: 302, BadDestination: 303, Unencodable: 304, TooLarge: 305, Limited: 306}
	for value, reason := range map[float64]string{301: "", 302: "send_error", 303: "bad_destination", 304: "unencodable", 305: "too_large", 306: "rate_limit"} {
		want[value] = reason
	}
	var m model.Metrics
	Listen(&m, listen)
	Send(&m, send)
	metricstest.Check(t, m)
	got := map[float64]string{}
	for _, one := range m {
		reason := ""
		for _, label := range one.Labels {
			reason = label.Value
		}
		got[one.Value] = reason
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("reasons by value (-want +got):\n%s", diff)
	}
}
