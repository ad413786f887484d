package stream

import (
	"context"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Single makes a supply of one stretch that goes on, without any backlog. session
// is what the hello says of the process; as a rule it is the source's boot.
func Single(source Source, session model.BootID) Supply { return single{source, session} }

type single struct {
	source  Source
	session model.BootID
}

// Session implements Supply.
func (s single) Session() model.BootID { return s.session }

// Live implements Supply.
func (s single) Live(context.Context) (Source, error) { return s.source, nil }

// Backlog implements Supply: it waits in vain.
func (s single) Backlog(ctx context.Context) (Source, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}
