package spool

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/durable/durabletest"
	"github.com/cloudless-fleet/cloudless/pkg/event"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// bench is a spool on a disk in memory, with a sampler before it and a collector
// behind it.
type bench struct {
	t      *testing.T
	disk   *durabletest.Disk
	config Config
	limits limits
	deps   Deps
	now    time.Time
	boots  byte
	spool  *Spool
	from   *sampler
	to     *collector
}

func newBench(t *testing.T, change func(*bench)) *bench {
	t.Helper()
	b := &bench{t: t, disk: durabletest.New(1), config: DefaultConfig(), now: time.UnixMilli(1_700_000_000_000), to: newCollector()}
	b.limits = b.config.limits()
	b.deps = Deps{Dir: lifeDir, Worker: model.WorkerIDFrom([16]byte{1}), Fleet: "lab", Now: func() time.Time { return b.now }}
	if change != nil {
		change(b)
	}
	b.from = newSampler(nil, 10)
	b.from.at = millis(b.now)
	b.start()
	return b
}

// start starts a process, without the end of the one before having been noticed.
func (b *bench) start() *Spool {
	b.t.Helper()
	b.boots++
	b.deps.Boot, b.deps.FS = model.BootIDFrom([16]byte{b.boots}), b.disk
	var err error
	if b.spool, err = open(b.config, b.limits, b.deps); err != nil {
		b.t.Fatal(err)
	}
	b.from.use(b.spool)
	b.from.at = max(b.from.at, millis(b.now))
	return b.spool
}

// kill ends the process, and starts another one.
func (b *bench) kill() *Spool {
	b.disk.Kill()
	return b.start()
}

func (b *bench) close() {
	b.t.Helper()
	if err := b.spool.Close(); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) define(stream model.StreamID, parts ...int) {
	b.t.Helper()
	if err := b.from.define(stream, parts...); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) live() *Stretch {
	b.t.Helper()
	st, err := b.spool.Live(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	return st
}

// backlog returns the next stretch, nil if there is none.
func (b *bench) backlog() *Stretch {
	b.t.Helper()
	st, err := b.spool.Backlog(done())
	if errors.Is(err, context.Canceled) {
		return nil
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return st
}

// deliver takes everything that a stretch has.
func (b *bench) deliver(st *Stretch) *link {
	l := b.to.connect(st, true)
	for l.pull(5000) {
		l.ack()
	}
	return l
}

// drain delivers everything there is.
func (b *bench) drain() {
	b.deliver(b.live())
	for st := b.backlog(); st != nil; st = b.backlog() {
		b.deliver(st)
	}
}

// gaps are the events of one cause that have arrived.
func (b *bench) gaps(cause event.Cause) (found []event.Gap) {
	for gap := range b.to.gaps {
		if gap.Cause == cause {
			found = append(found, gap)
		}
	}
	slices.SortFunc(found, func(a, b event.Gap) int { return int(a.FirstSeq) - int(b.FirstSeq) })
	return found
}

// complete checks that everything said has arrived, but for so many frames.
func (b *bench) complete(missing int) {
	b.t.Helper()
	n := 0
	for at, frame := range b.from.said {
		if row, ok := b.to.rows[at]; !ok {
			n++
		} else if row != frame.first {
			b.t.Errorf("frame %v: %v, want %v", at, row, frame.first)
		}
	}
	if n != missing {
		b.t.Errorf("%d of %d frames have not arrived, want %d", n, len(b.from.said), missing)
	}
}

func wantRange(t *testing.T, what string, st *Stretch, first, next uint64) {
	t.Helper()
	if st == nil {
		t.Errorf("%s: no stretch, want %d to %d", what, first, next-1)
		return
	}
	if f, n := st.Range(); f != first || n != next {
		t.Errorf("%s: %d to %d, want %d to %d", what, f, n-1, first, next-1)
	}
}
