package packet

import (
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// maxVouchers bounds how many vouchers are remembered, about 200 bytes each. A
// fleet has one for each of its servers and some that are about to run out.
const maxVouchers = 64

// vouchers remembers which vouchers were verified, so that a packet of a known
// beacon costs one verification and not two. Only what the fleet's authority has
// signed gets in, so strangers cannot fill it. When it is full, the one that runs
// out first is forgotten, and verified again when it comes.
type vouchers struct {
	known map[vouched]struct{}
}

// vouched is a voucher and who has signed it. A hint alone would not do: it is
// not what was verified.
type vouched struct {
	by   trust.Fingerprint
	word Voucher
}

func (v *vouchers) has(w vouched) bool { _, ok := v.known[w]; return ok }

func (v *vouchers) put(w vouched, now time.Time) {
	if now.UnixMilli() >= w.word.Until {
		return
	}
	if v.known == nil {
		v.known = map[vouched]struct{}{}
	}
	if len(v.known) >= maxVouchers {
		v.dropFirst()
	}
	v.known[w] = struct{}{}
}

func (v *vouchers) dropFirst() {
	var first vouched
	for w := range v.known {
		if first.word.Until == 0 || w.word.Until < first.word.Until {
			first = w
		}
	}
	delete(v.known, first)
}

// vouched reports whether the authority has signed the voucher. Whether it is
// still good is the caller's to ask.
func (v *Verifier) vouched(by *authority, word Voucher, now time.Time) bool {
	w := vouched{by: by.fingerprint, word: word}
	v.mu.Lock()
	known := v.vouchers.has(w)
	v.mu.Unlock()
	if known {
		return true
	}
	if trust.CheckStatement(by.cert, domainVoucher, word.statement(), word.Signature[:]) != nil {
		return false
	}
	v.mu.Lock()
	v.vouchers.put(w, now)
	v.mu.Unlock()
	return true
}
