package store_test

import (
	"errors"
	"io"
	"log/slog"
	"runtime"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store"
)

// oracleNow is the collector's clock, which stands still: 1777896000.
var oracleNow = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

const (
	lookback = 5 * time.Minute
	second   = model.Millis(1000)
	minute   = 60 * second
	hour     = 60 * minute
)

// now is oracleNow.
func now() model.Millis { return model.Millis(oracleNow.UnixMilli()) }

// driver gives a store what workers have, and the reference the same.
type driver struct {
	tb        testing.TB
	config    store.Config
	store     *store.Store
	reference *reference
	workers   []*worker
}

// worker is one as the collector sees it.
type worker struct {
	number   int
	id       model.WorkerID
	instance string
	// next are the numbers that open sessions go on with.
	live, backfill *open
}

// open is an open session.
type open struct {
	session *store.Session
	source  *refSource
	boot    *boot
	next    uint64
}

func newDriver(tb testing.TB, change ...func(*store.Config)) *driver {
	config := store.DefaultConfig()
	config.Dir, config.SyncInterval, config.MinFree = tb.TempDir(), 100*time.Millisecond, 0
	for _, c := range change {
		c(&config)
	}
	d := &driver{tb: tb, config: config, reference: newReference()}
	d.open()
	tb.Cleanup(func() { d.close() })
	return d
}

func (d *driver) open() {
	d.tb.Helper()
	s, err := store.Open(d.config, store.Deps{Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Now: func() time.Time { return oracleNow }})
	if err != nil {
		d.tb.Fatal(err)
	}
	d.store = s
}

func (d *driver) close() {
	d.tb.Helper()
	for cause, n := range d.store.Stats().Refused {
		if n > 0 {
			d.tb.Errorf("%d records refused: %v", n, cause)
		}
	}
	if err := d.store.Close(); err != nil {
		d.tb.Errorf("close: %v", err)
	}
	for _, w := range d.workers {
		w.live, w.backfill = nil, nil
	}
}

func (d *driver) reopen() {
	d.tb.Helper()
	d.close()
	d.open()
}

// pass seals what is in the journal, and makes rollups of it.
func (d *driver) pass() {
	d.tb.Helper()
	if err := d.store.Pass(); err != nil {
		d.tb.Fatal(err)
	}
	err := d.store.Roll()
	for errors.Is(err, store.ErrBusy) { // by itself
		runtime.Gosched()
		err = d.store.Roll()
	}
	if err != nil {
		d.tb.Fatal(err)
	}
}

func (d *driver) worker(instance string) *worker {
	n := len(d.workers) + 1
	w := &worker{number: n, id: model.WorkerIDFrom([16]byte{1, byte(n)}), instance: instance}
	d.workers = append(d.workers, w)
	return w
}

// rename has the collector call the worker otherwise, from its next session on.
func (w *worker) rename(instance string) {
	w.instance = instance
	for _, o := range []*open{w.live, w.backfill} {
		if o != nil {
			_ = o.session.Close()
		}
	}
	w.live, w.backfill = nil, nil
}

// deliver gives the store the records from one number to another of a boot.
func (d *driver) deliver(w *worker, b *boot, from, to uint64, backfill, sparing bool) {
	d.tb.Helper()
	at := &w.live
	if backfill {
		at = &w.backfill
	}
	if *at == nil || (*at).boot != b || (*at).next != from {
		*at = d.begin(w, b, from, backfill)
	}
	o := *at
	for o.next <= to {
		r := &b.records[o.next-1]
		o.next++
		if r.Kind == frame.KindPart && sparing && !o.session.Wanted([]frame.PartID{frame.PartIDOf(r.Payload)})[0] {
			continue
		}
		if err := o.session.Append(r.Record, r.raw); err != nil {
			d.tb.Fatalf("worker %v, record %d, a %v: %v", w.id, r.Seq, r.Kind, err)
		}
		if !b.received[r.Seq-1] && r.Kind == frame.KindFrame {
			d.reference.store(o.source, r.Stream, r.at, refRow{r.layout, r.values})
		}
		b.received[r.Seq-1] = true
	}
}

// begin opens a session and brings it to the number from which it goes on.
func (d *driver) begin(w *worker, b *boot, first uint64, backfill bool) *open {
	d.tb.Helper()
	session, err := d.store.OpenSession(store.Source{Worker: w.id, Boot: b.id, Backfill: backfill, First: first, Instance: w.instance})
	if err != nil {
		d.tb.Fatal(err)
	}
	source := d.reference.open(w.id, labels.FromStrings("instance", w.instance, "job", "node"))
	o := &open{session, source, b, max(first, session.Resume()+1)}
	for _, number := range b.context(o.next) {
		r := &b.records[number-1]
		if err := session.Append(r.Record, r.raw); err != nil {
			d.tb.Fatalf("worker %v, context %d of %d, a %v: %v", w.id, number, o.next, r.Kind, err)
		}
	}
	return o
}

// stale tells the store that a worker is gone.
func (d *driver) stale(w *worker, at model.Millis) {
	d.tb.Helper()
	if err := d.store.MarkStale(w.id, time.UnixMilli(int64(at))); err != nil {
		d.tb.Fatal(err)
	}
	d.reference.stale(w.id, at)
}
