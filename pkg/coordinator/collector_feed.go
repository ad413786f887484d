package coordinator

import (
	"context"
	"crypto/ed25519"
	"net/netip"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/api/control"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// collectorFeed is what collectors follow of the fleet's trust.
type collectorFeed struct{ *coordinator }

var _ control.Trust = collectorFeed{}

// Revocations implements control.Trust.
func (f collectorFeed) Revocations(ctx context.Context, since uint64) ([]byte, error) {
	for {
		_, revision, changed := f.revoked.Since(since)
		if revision != since {
			return f.revoked.Snapshot()
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-changed:
		}
	}
}

// Hello implements control.Trust.
func (f collectorFeed) Hello(ctx context.Context, _ string, addr netip.Addr, hello api.CollectorHello) (api.CollectorWelcome, error) {
	who := callerIn(ctx)
	name := who.identity.Name
	if name == "" { // by the unix socket: there is one
		name = hello.Hostname
	}
	news, err := f.collectors.hello(name, addr, hello)
	if err != nil {
		return api.CollectorWelcome{}, err
	}
	if news {
		f.sessions.pokeAll()
	}
	until := f.now().Add(collectorBeaconLife)
	voucher, by, err := f.home.Vouch(ed25519.PublicKey(hello.Beacon), until)
	if err != nil {
		return api.CollectorWelcome{}, err
	}
	present := f.home.bundle()
	welcome := api.CollectorWelcome{Now: model.Millis(f.now().UnixMilli()), Voucher: voucher.String(), Authority: by, Until: until,
		AdminGeneration: f.home.AdminGeneration()}
	if hello.Bundle != present.digest {
		welcome.Bundle = present.pem
	}
	welcome.Renew = who.leaf != nil && !issuedBy(who.leaf, present.issuer)
	return welcome, nil
}
