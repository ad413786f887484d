package store

import (
	"fmt"

	"github.com/cloudless-fleet/cloudless/pkg/store/head"
)

// Cause is why something was refused: a small closed set, for counters and for
// what a worker is told.
type Cause = head.Cause

// Refusal is the error of everything the store does not take.
type Refusal = head.Refusal

// The causes; package head explains them.
const (
	CauseNone           = head.CauseNone
	CauseTooManySeries  = head.CauseTooManySeries
	CauseTooManyNew     = head.CauseTooManyNew
	CauseTooManyStreams = head.CauseTooManyStreams
	CauseTooManyWorkers = head.CauseTooManyWorkers
	CauseTooManyHoles   = head.CauseTooManyHoles
	CauseUnknownPart    = head.CauseUnknownPart
	CauseUnknownSchema  = head.CauseUnknownSchema
	CauseBadPart        = head.CauseBadPart
	CauseBadSchema      = head.CauseBadSchema
	CauseBadFrame       = head.CauseBadFrame
	CauseBadRecord      = head.CauseBadRecord
	CauseNoBase         = head.CauseNoBase
	CauseFuture         = head.CauseFuture
	CauseTooOld         = head.CauseTooOld
	CauseOrder          = head.CauseOrder
	CausePartsFull      = head.CausePartsFull
	CauseSuperseded     = head.CauseSuperseded
	CauseDiskFull       = head.CauseDiskFull
	CauseFailed         = head.CauseFailed
	CauseClosed         = head.CauseClosed
	CauseBadSource      = head.CauseBadSource
)

// Causes lists all causes but CauseNone, for the labels of counters.
func Causes() []Cause { return head.Causes() }

// later refuses for now.
func later(cause Cause, format string, args ...any) *Refusal {
	return &Refusal{Cause: cause, Temporary: true, Detail: fmt.Sprintf(format, args...)}
}

// refused counts a refusal that the head has not seen, and returns it.
func (s *Store) refused(r *Refusal) *Refusal {
	s.figures.refused[r.Cause].Add(1)
	return r
}
