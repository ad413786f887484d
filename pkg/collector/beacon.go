package collector

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/disk"
	"github.com/cloudless-fleet/cloudless/pkg/trust/packet"
)

const (
	// helloEvery is how often the coordinator hears of this collector.
	helloEvery = time.Minute
	// helloRetry is the pause after a hello that failed.
	helloRetry = 2 * time.Second
	// helloGap is the least time between two hellos: an answer that causes
	// another one must not cause a thousand.
	helloGap = time.Second
	// helloTimeout is how long the answer may take.
	helloTimeout = 10 * time.Second
)

// errNoVoucher keeps probes back that no worker would believe.
var errNoVoucher = errors.New("the coordinator has not vouched for this collector's beacon key yet")

// beacon signs the probes. Workers believe its key for as long as a voucher of
// the fleet's authority lasts, which comes with the answer to every hello.
type beacon struct {
	key   ed25519.PrivateKey
	fleet string
	// hello is what the collector tells of itself; Beacon is filled in.
	hello func() api.CollectorHello
	ask   func(context.Context, api.CollectorHello) (api.CollectorWelcome, error)
	// welcomed is told every answer.
	welcomed func(api.CollectorWelcome)
	// vouched is told when probes can be signed, or cannot any more.
	vouched func(bool)
	now     func() time.Time
	random  io.Reader
	log     *slog.Logger

	current atomic.Pointer[vouchedSigner]
	first   chan struct{} // closed when there was a voucher once
	news    chan struct{} // holds one: say hello now
	once    sync.Once

	mu   sync.Mutex // guards stat
	stat beaconStats
}

// vouchedSigner is a signer and the word of the authority for it; immutable.
type vouchedSigner struct {
	*packet.Signer
	voucher string
	until   time.Time
}

// beaconStats are counters.
type beaconStats struct{ Hellos, Errors uint64 }

// soon has a hello said now. It does not block.
func (b *beacon) soon() {
	select {
	case b.news <- struct{}{}:
	default: // it is on its way
	}
}

// run says hello once a minute, earlier when the voucher is about to end or there
// is something to tell, until ctx ends.
func (b *beacon) run(ctx context.Context) error {
	failing := false
	for {
		err := b.greet(ctx)
		if ctx.Err() != nil {
			return nil
		}
		b.count(err)
		if err != nil && !failing {
			b.log.Warn("coordinator has not answered the hello of this collector", logkey.Err, err)
		}
		failing = err != nil
		b.vouched(b.signer() != nil)
		if !pause(ctx, helloGap) {
			return nil
		}
		timer := time.NewTimer(b.rest(failing) - helloGap)
		select {
		case <-ctx.Done():
		case <-b.news:
		case <-timer.C:
		}
		timer.Stop()
		if ctx.Err() != nil {
			return nil
		}
	}
}

// rest is the time until the next hello.
func (b *beacon) rest(failing bool) time.Duration {
	if failing {
		return helloRetry
	}
	left := b.current.Load().until.Sub(b.now())
	return min(helloEvery, max(helloRetry, left/2))
}

func (b *beacon) greet(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	hello := b.hello()
	hello.Beacon = b.key.Public().(ed25519.PublicKey)
	welcome, err := b.ask(ctx, hello)
	if err != nil {
		return err
	}
	signer, err := packet.NewBeacon(b.fleet, welcome.Authority, b.key)
	if err != nil {
		return err
	}
	voucher, err := packet.ParseVoucher(welcome.Voucher)
	if err != nil {
		return err
	}
	if !bytes.Equal(voucher.Key[:], hello.Beacon) {
		return fmt.Errorf("%w: it is for another key", packet.ErrVoucher)
	}
	until := welcome.Until
	if ends := time.UnixMilli(voucher.Until); ends.Before(until) {
		until = ends
	}
	b.current.Store(&vouchedSigner{Signer: signer, voucher: welcome.Voucher, until: until})
	b.once.Do(func() { close(b.first) })
	b.welcomed(welcome)
	return nil
}

// signer is what probes are signed with, nil without a voucher that lasts.
func (b *beacon) signer() *vouchedSigner {
	current := b.current.Load()
	if current == nil || !b.now().Before(current.until) {
		return nil
	}
	return current
}

// voucher goes with the probes; empty when there is none.
func (b *beacon) voucher() string {
	if s := b.signer(); s != nil {
		return s.voucher
	}
	return ""
}

// seal is a discovery.Seal.
func (b *beacon) seal(unsealed []byte) (string, error) {
	s := b.signer()
	if s == nil {
		return "", errNoVoucher
	}
	seal, err := s.Sign(packet.ProbeInit, unsealed, b.random, b.now())
	if err != nil {
		return "", err
	}
	return seal.String(), nil
}

func (b *beacon) count(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stat.Hellos++
	if err != nil {
		b.stat.Errors++
	}
}

func (b *beacon) stats() beaconStats {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.stat
}

// beaconKey returns the key in the file at path, which is made when it is missing.
// Errors never hold any of it.
func beaconKey(path string, random io.Reader) (ed25519.PrivateKey, error) {
	found, err := trust.ReadKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		return makeBeaconKey(path, random)
	}
	key, ok := found.(ed25519.PrivateKey)
	if err == nil && !ok {
		err = fmt.Errorf("key file %q: a %T", path, found)
	}
	if err != nil {
		return nil, fmt.Errorf("read beacon key: %w; or remove the file, and a new key is made", err)
	}
	return key, nil
}

func makeBeaconKey(path string, random io.Reader) (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(random)
	if err != nil {
		return nil, fmt.Errorf("make beacon key: %w", err)
	}
	data, err := trust.EncodeKey(key)
	if err != nil {
		return nil, fmt.Errorf("make beacon key: %w", err)
	}
	return key, disk.Replace(path, data, disk.Private)
}

// bundleDigest tells the coordinator whom this collector believes.
func bundleDigest(credentials *trust.Credentials) string {
	return api.BundleDigest(credentials.Bundle())
}
