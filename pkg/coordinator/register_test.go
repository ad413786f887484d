package coordinator

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/crm"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/registry"
)

func TestAWorkerIsRegistered(t *testing.T) {
	c := bare(t, time.Now)
	f := func(ack *crm.ProbeAck, to string, want crm.RegisterAck) {
		t.Helper()
		got, where, ok := c.register(ack, source())
		if !ok || where.String() != to {
			t.Fatalf("answer to %v, %v; want to %s", where, ok, to)
		}
		if got.Ext.Voucher != c.home.beacon.Load().voucher {
			t.Errorf("no voucher in the answer")
		}
		got.Ext.Voucher = ""
		if diff := cmp.Diff(&want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		got.ID = "1"
		if _, err := got.Append(nil); err != nil {
			t.Errorf("the answer cannot be sent: %v", err)
		}
	}
	registered := func(n byte, instance string) crm.RegisterAck {
		return crm.RegisterAck{Info: crm.RegisterInfo{Status: true, Message: registry.Admit.Text()},
			Ext: &crm.RegisterAckExt{WorkerID: id(n), Instance: instance, State: model.Registered}}
	}
	f(wish(id(1), "web"), "10.0.0.7:10300", registered(1, "web"))
	f(wish(id(1), "web"), "10.0.0.7:10300", registered(1, "web")) // asking again changes nothing
	silent := wish(id(2), "web")
	silent.Info.Addr = netip.Addr{}
	f(silent, "10.0.0.8:10300", registered(2, "web-2")) // where it was heard from
	refused := wish(id(3), strings.Repeat("x", 256))
	f(refused, "10.0.0.7:10300", crm.RegisterAck{Info: crm.RegisterInfo{Message: registry.RefuseInvalid.Text()},
		Ext: &crm.RegisterAckExt{WorkerID: id(3)}})
}

func TestWhoIsNotAnswered(t *testing.T) {
	c := bare(t, time.Now)
	f := func(ack *crm.ProbeAck, withoutID, withoutPort uint64) {
		t.Helper()
		if reply, to, ok := c.register(ack, source()); ok || reply != nil {
			t.Errorf("answered %v to %v", reply, to)
		}
		if c.withoutID.Load() != withoutID || c.withoutPort.Load() != withoutPort {
			t.Errorf("counted %d without id and %d without port, want %d and %d",
				c.withoutID.Load(), c.withoutPort.Load(), withoutID, withoutPort)
		}
	}
	legacy := wish(id(1), "web")
	legacy.Ext = nil
	f(legacy, 1, 0)
	deaf := wish(id(1), "web")
	deaf.Info.Ports = nil
	f(deaf, 1, 1)
	if n := len(c.registry.Workers()); n != 0 {
		t.Errorf("%d workers are registered, want none", n)
	}
}
