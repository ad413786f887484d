package trust

import (
	"fmt"
	"io"
	"log/slog"
)

// A private key is part of these values. Whatever prints them, on purpose or
// by a forgotten %+v, gets their public side.

// String says whose authority it is.
func (ca *CA) String() string { return "authority of fleet " + ca.fleet }

// Format implements fmt.Formatter: every verb prints String.
func (ca *CA) Format(f fmt.State, _ rune) { io.WriteString(f, ca.String()) }

// LogValue implements slog.LogValuer.
func (ca *CA) LogValue() slog.Value { return slog.StringValue(ca.String()) }

// String says for whom it was issued.
func (i Issued) String() string {
	return fmt.Sprintf("certificate of %s until %s", i.Identity, stamp(i.NotAfter))
}

// Format implements fmt.Formatter: every verb prints String.
func (i Issued) Format(f fmt.State, _ rune) { io.WriteString(f, i.String()) }

// LogValue implements slog.LogValuer.
func (i Issued) LogValue() slog.Value { return slog.StringValue(i.String()) }
