package collector

import (
	"context"
	"crypto/sha256"
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
	if w.own, err = s.Local(localSource(who, instance)); err != nil {
		return nil, err
	}
	coordinator := trust.Identity{Fleet: who.Fleet, Role: trust.RoleCoordinator, Name: who.Name}
	w.theirs, err = s.Local(localSource(coordinator, instance))
	return &w, err
}

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
	ctx, cancel := context.WithTimeout(ctx, w.interval)
	defer cancel()
	stats, err := w.coordinator.Stats(ctx)
	if err != nil {
		return // the fleet view logs that the coordinator is away
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
	if err := w.theirs.Write(w.now(), metrics); err != nil {
		w.log.Warn("figures of the coordinator are not stored", logkey.Err, err)
	}
}

func (w *selfWatch) close() error {
	w.own.Close()
	return w.theirs.Close()
}
