package trust

import (
	"crypto/x509"
	"time"
)

// RenewAt is when the holder of a certificate is to renew it: at two thirds of
// its life. What is left is for a coordinator that is away for a while.
func RenewAt(leaf *x509.Certificate) time.Time {
	// It says that it began a while before it was issued, so that clocks may
	// differ: that is no part of its life.
	begin := leaf.NotBefore.Add(backdate)
	if !begin.Before(leaf.NotAfter) {
		begin = leaf.NotBefore // not issued by Sign
	}
	return begin.Add(leaf.NotAfter.Sub(begin) / 3 * 2)
}
