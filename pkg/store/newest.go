package store

import (
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/head"
)

// Newest tells how fresh a worker's data is.
type Newest = head.Newest

// Row is the newest frame of one stream.
type Row = head.Row

// Newest returns how fresh a worker's data is; false when the store has no state
// of it in memory. It costs a short lock.
func (s *Store) Newest(id model.WorkerID) (Newest, bool) { return s.head.Newest(id) }

// Connected says whether a session of the worker is open.
func (s *Store) Connected(id model.WorkerID) bool { return s.head.Connected(id) }

// Live copies the newest row of every stream of a worker, sorted by stream.
func (s *Store) Live(id model.WorkerID) []Row { return s.head.Live(id) }

// Metadata describes the metrics of all series that the store has: type and help of
// the named one, or of all when metric is empty, sorted by name. A name has
// several entries when workers disagree. Series are nil.
func (s *Store) Metadata(metric string) []model.Family { return s.dictionary.Metadata(metric) }

// MarkStale ends all series of a worker that is gone: a query at any time after `at`
// no longer sees them. They end not before their newest row. A worker that comes
// back simply goes on. It fails with a *Refusal.
func (s *Store) MarkStale(id model.WorkerID, at time.Time) error {
	if refusal := s.accepts(); refusal != nil {
		return s.refused(refusal)
	}
	return s.head.MarkStale(id, model.Millis(at.UnixMilli()))
}
