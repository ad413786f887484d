package worker

import (
	"context"

	"github.com/cloudless-fleet/cloudless/pkg/spool"
	"github.com/cloudless-fleet/cloudless/pkg/stream"
)

// supply gives the stream what the spool has. heard is called with each sign of life
// of the collector.
type supply struct {
	*spool.Spool
	heard func()
}

var _ stream.Supply = supply{}

// Live implements stream.Supply.
func (s supply) Live(ctx context.Context) (stream.Source, error) {
	found, err := s.Spool.Live(ctx)
	if err != nil {
		return nil, err
	}
	return stretch{found, s.heard}, nil
}

// Backlog implements stream.Supply.
func (s supply) Backlog(ctx context.Context) (stream.Source, error) {
	found, err := s.Spool.Backlog(ctx)
	if err != nil {
		return nil, err
	}
	return stretch{found, s.heard}, nil
}

// stretch is a stretch of the spool.
type stretch struct {
	*spool.Stretch
	heard func()
}

// Acked implements stream.Source.
func (s stretch) Acked(through uint64) {
	s.Stretch.Acked(through)
	s.heard()
}

// Rejected implements stream.Source. Why it was, the stream's own figures tell.
func (s stretch) Rejected(_, _ uint64, records uint32, _ stream.Cause, _ string) {
	s.Stretch.Rejected(records)
	s.heard()
}
