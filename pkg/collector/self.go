package collector

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// selfWatch stores the figures of the two servers of the fleet by the same
// door as everybody's: as frames of two sources of their own.
type selfWatch struct {
	metrics     func() model.Metrics
	coordinator *api.ControlClient
	interval    time.Duration
	own, theirs *store.Writer
	log         *slog.Logger
	now         func() time.Time
}

func newSelfWatch(s *store.Store, who trust.Identity, instance string, w selfWatch) (*selfWatch, error) {
	var err error
	if w.own, err = openWriter(s, localSource(who, instance)); err != nil {
		return nil, err
	}
	coordinator := trust.Identity{Fleet: who.Fleet, Role: trust.RoleCoordinator, Name: who.Name}
	if w.theirs, err = openWriter(s, localSource(coordinator, instance)); err != nil {
		return nil, errors.Join(err, w.own.Close())
	}
	return &w, nil
}

// openWriter opens a writer. One that the store refuses for now is good all the
// same, it tries again with every frame: a full disk must not keep the
// collector from answering queries.
func openWriter(s *store.Store, source store.Source) (*store.Writer, error) {
	w, err := s.Local(source)
	if err != nil && !mayPass(err) {
		return nil, err
	}
	return w, nil
}

// askTimeout is how long the coordinator's figures may take to come.
const askTimeout = 5 * time.Second

// localSource names a source that is no worker. Its id follows from what it is,
// so that its series go on after a restart.
func localSource(who trust.Identity, instance string) store.Source {
	sum := sha256.Sum256([]byte(who.String()))
	return store.Source{Worker: model.WorkerIDFrom([16]byte(sum[:16])), Instance: instance, Job: string(who.Role)}
}

// run stores a round of figures every interval until ctx ends.
func (w *selfWatch) run(ctx context.Context) error {
	ticks := time.NewTicker(w.interval)
	defer ticks.Stop()
	for {
		w.round(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-ticks.C:
		}
	}
}

func (w *selfWatch) round(ctx context.Context) {
	if err := w.own.Write(w.now(), w.metrics()); err != nil {
		w.log.Warn("own figures are not stored", logkey.Err, err)
	}
	// Without figures the series end: a coordinator that does not answer must
	// not look like one that does.
	if err := w.theirs.Write(w.now(), w.ask(ctx)); err != nil {
		w.log.Warn("figures of the coordinator are not stored", logkey.Err, err)
	}
}

// ask returns the coordinator's figures; none when it does not answer, which
// the fleet view logs.
func (w *selfWatch) ask(ctx context.Context) []model.Metric {
	ctx, cancel := context.WithTimeout(ctx, min(w.interval, askTimeout))
	defer cancel()
	stats, err := w.coordinator.Stats(ctx)
	if err != nil {
		return nil
	}
	metrics := make([]model.Metric, 0, len(stats.Metrics))
	for _, row := range stats.Metrics {
		metric, err := row.Metric()
		if err != nil {
			w.log.Warn("figure of the coordinator is not understood", logkey.Err, err)
			continue
		}
		metrics = append(metrics, metric)
	}
	return metrics
}

func (w *selfWatch) close() error { return errors.Join(w.own.Close(), w.theirs.Close()) }
