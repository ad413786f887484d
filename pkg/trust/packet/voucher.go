package packet

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

const (
	voucherVersion = 1
	voucherSize    = 1 + len(Hint{}) + ed25519.PublicKeySize + 8 + ed25519.SignatureSize
	domainVoucher  = "beacon voucher"
)

// VoucherLength is the length of every voucher's text form, in bytes.
const VoucherLength = (voucherSize*8 + 5) / 6

// ErrVoucher says that a text is no voucher.
var ErrVoucher = errors.New("not a voucher")

// Voucher is an authority's word that a key is a beacon of its fleet. No secret.
// Comparable; the zero value is no voucher.
type Voucher struct {
	Authority Hint
	Key       [ed25519.PublicKeySize]byte
	Until     int64 // Unix ms
	Signature [ed25519.SignatureSize]byte
}

// Vouch lets an authority vouch for a beacon's key until a time, at the latest
// until its own end.
func Vouch(ca *trust.CA, beacon ed25519.PublicKey, until time.Time) (Voucher, error) {
	if len(beacon) != ed25519.PublicKeySize {
		return Voucher{}, fmt.Errorf("vouch for beacon: key of %d bytes", len(beacon))
	}
	if until.After(ca.NotAfter()) {
		until = ca.NotAfter()
	}
	v := Voucher{Authority: hintOf(ca.Fingerprint()), Until: until.UnixMilli()}
	copy(v.Key[:], beacon)
	copy(v.Signature[:], ca.Statement(domainVoucher, v.statement()))
	return v, nil
}

func (v Voucher) statement() []byte {
	return binary.BigEndian.AppendUint64(append([]byte{voucherVersion}, v.Key[:]...), uint64(v.Until))
}

// AppendText appends the text form to dst.
func (v Voucher) AppendText(dst []byte) ([]byte, error) {
	raw := make([]byte, 0, voucherSize)
	raw = append(raw, voucherVersion)
	raw = append(raw, v.Authority[:]...)
	raw = append(raw, v.Key[:]...)
	raw = binary.BigEndian.AppendUint64(raw, uint64(v.Until))
	raw = append(raw, v.Signature[:]...)
	return base64.RawURLEncoding.AppendEncode(dst, raw), nil
}

// String is the text form.
func (v Voucher) String() string {
	text, _ := v.AppendText(nil)
	return string(text)
}

// ParseVoucher reads the text form, without asking who signed it.
func ParseVoucher(text string) (v Voucher, err error) {
	raw, ok := decode(text, voucherSize)
	if !ok || raw[0] != voucherVersion {
		return Voucher{}, ErrVoucher
	}
	raw = raw[1:]
	raw = raw[copy(v.Authority[:], raw):]
	raw = raw[copy(v.Key[:], raw):]
	v.Until, raw = int64(binary.BigEndian.Uint64(raw)), raw[8:]
	copy(v.Signature[:], raw)
	if v.Until <= 0 || v.Until > latest {
		return Voucher{}, ErrVoucher
	}
	return v, nil
}

// sender is the beacon's name to the window.
func (v Voucher) sender() Sender { return beaconSender(v.Key[:]) }

func beaconSender(key ed25519.PublicKey) (s Sender) {
	copy(s[:], key) // the key is as good as its hash
	return s
}
