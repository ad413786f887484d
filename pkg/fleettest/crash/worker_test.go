package crash

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/spool"
	"github.com/cloudless-fleet/cloudless/pkg/stream"
)

// worker is a host that is measured.
type worker struct {
	*machine
	life   *life
	random *rand.Rand
	id     model.WorkerID
	offset atomic.Int64 // of its clock, in nanoseconds
	config spool.Config
	client stream.ClientConfig
	books  *books
	boots  int
	parts  int // that were made up
	now    *workerProcess
	begun  time.Time      // of the newest process
	unsure []model.BootID // that were killed, and what they wrote may not be on disk yet
}

// workerProcess is one run of workerd.
type workerProcess struct {
	worker  *worker
	fs      *process
	boot    model.BootID
	spool   *spool.Spool
	client  *stream.Client
	stop    context.CancelFunc
	tasks   sync.WaitGroup
	keeper  context.CancelFunc
	keeping sync.WaitGroup
	streams map[model.StreamID]*sampler
}

// sampler is one stream of a process.
type sampler struct {
	shape   *shape
	encoder *frame.Encoder
	row     []float64
}

// clock is the worker's.
func (w *worker) clock() time.Time { return time.Now().Add(time.Duration(w.offset.Load())) }

// start starts a process.
func (w *worker) start() error {
	w.boots++
	var id [16]byte
	id[0], id[1], id[2], id[3] = byte(w.boots), byte(w.boots>>8), w.id[0], w.id[1]
	id[15] = 1
	p := &workerProcess{worker: w, boot: model.BootIDFrom(id), streams: map[model.StreamID]*sampler{}}
	p.fs = w.process(w.life.net.cutAll)
	var err error
	log := w.life.log.With("at", fmt.Sprintf("%s.%d", w.name, w.boots))
	p.spool, err = spool.Open(w.config, spool.Deps{Dir: "spool", Boot: p.boot, Worker: w.id, Fleet: "lab", HostStarted: w.started.Add(time.Duration(w.offset.Load())),
		Log: log, Now: w.clock, FS: p.fs, Random: bytesOf{w.random}})
	if err != nil {
		return fmt.Errorf("open spool: %w", err)
	}
	random := rand.New(rand.NewPCG(w.random.Uint64(), 3))
	p.client, err = stream.NewClient(w.client, stream.ClientDeps{Supply: supply{p}, Now: w.clock, Random: random.Float64, Log: slog.New(slog.DiscardHandler),
		Connect: func(ctx context.Context, _ string) (net.Conn, error) {
			if p.fs.dead.Load() {
				return nil, errUnreachable
			}
			return w.life.net.dial(ctx, w)
		}})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	keep, stopKeeping := context.WithCancel(context.Background())
	p.keeper = stopKeeping
	p.keeping.Go(func() { _ = p.spool.Run(keep) })
	p.tasks.Go(func() { _ = p.client.Run(ctx) })
	p.client.SetEndpoint("collector:9100")
	w.now, w.begun = p, time.Now()
	stats := p.spool.Stats()
	w.life.tell("%s: process %d starts, boot %v: %d former boots, %d records unacknowledged", w.name, w.boots, p.boot, stats.FormerBoots, stats.Unacked)
	return nil
}

// end ends the process in an orderly way: it says goodbye, and closes its spool.
func (p *workerProcess) end() error {
	p.stop()
	p.tasks.Wait()
	p.keeper()
	p.keeping.Wait()
	unsure := p.worker.unsure
	p.note(stopped)
	err := p.spool.Close()
	if p.fs.dead.Load() { // it was killed at that
		p.worker.unsure = unsure
		p.note(killed)
		err = nil
	} else if err == nil {
		err = p.fs.over()
	}
	p.fs.die() // nothing is left that could write
	p.worker.now = nil
	return err
}

// crash ends the process at once.
func (p *workerProcess) crash(how string) {
	p.note(how)
	p.fs.die()
	p.stop()
	p.keeper()
	p.tasks.Wait()
	p.keeping.Wait()
	p.worker.now = nil
}

// slack is how long after the sync interval a sync may be done: the spool looks once a second.
const slack = 3 * time.Second

// note notes how the process ends, and from when on what it took may be missing.
func (p *workerProcess) note(how string) {
	w, now := p.worker, time.Now()
	e := ending{how: how, at: now, since: now.Add(time.Hour)}
	at := now
	if p.fs.dead.Load() {
		at = p.fs.diedAt // the disk may have become well since
	}
	troubled := w.trouble || at.Sub(w.troubled) < 10*time.Second
	switch {
	case p.fs.dead.Load():
		e.at, e.since = p.fs.diedAt, p.fs.diedAt // it had taken some more before this was noticed
	default:
		stats := p.spool.Stats()
		troubled = troubled || stats.MemoryRecords > 0 || stats.DiskError != ""
	}
	if how == powerCut {
		e.since = now.Add(-w.config.SyncInterval - slack)
		troubled = troubled || now.Sub(w.troubled) < w.config.SyncInterval+slack
	}
	if troubled {
		e.since = time.Time{} // what was in memory only is gone
	}
	w.books.ends[p.boot] = e
	if how == stopped || now.Sub(w.begun) > w.config.SyncInterval+slack && !troubled {
		w.unsure = nil
	}
	if how == killed {
		w.unsure = append(w.unsure, p.boot)
	}
}

// doubtFormer notes that the power was cut before what killed processes had written came to
// the disk.
func (w *worker) doubtFormer() {
	for _, boot := range w.unsure {
		e := w.books.ends[boot]
		if since := e.at.Add(-w.config.SyncInterval - slack); since.Before(e.since) {
			e.since = since
		}
		w.books.ends[boot] = e
	}
	w.unsure = nil
}

// supply is what package worker gives the stream, and keeps the books.
type supply struct{ *workerProcess }

var _ stream.Supply = supply{}

func (s supply) Session() model.BootID { return s.boot }

func (s supply) Live(ctx context.Context) (stream.Source, error) { return s.stretch(s.spool.Live(ctx)) }
func (s supply) Backlog(ctx context.Context) (stream.Source, error) {
	return s.stretch(s.spool.Backlog(ctx))
}

func (s supply) stretch(found *spool.Stretch, err error) (stream.Source, error) {
	if err != nil {
		return nil, err
	}
	first, next := found.Range()
	s.worker.life.whisper("%s: stretch of %v: %d to %d", s.worker.name, found.Boot(), first, next-1)
	return stretch{found, s.workerProcess, first}, nil
}

type stretch struct {
	*spool.Stretch
	process *workerProcess
	first   uint64
}

func (s stretch) Acked(through uint64) {
	if s.process.fs.dead.Load() {
		return
	}
	s.process.worker.life.whisper("%s: may forget %d to %d of %v", s.process.worker.name, s.first, through, s.Boot())
	if s.Boot() == s.process.boot { // of former boots something may have gone before
		s.process.worker.books.forget(s.Boot(), s.first, through)
	}
	s.Stretch.Acked(through)
}

func (s stretch) Rejected(from, through uint64, records uint32, cause stream.Cause, _ string) {
	s.process.worker.life.tell("%s: %d to %d of %v are rejected: %v", s.process.worker.name, from, through, s.Boot(), cause)
	s.Stretch.Rejected(records)
}

// sample makes a frame of a stream, as package sampler does.
func (p *workerProcess) sample(id model.StreamID) error {
	s, w := p.streams[id], p.worker
	if s == nil {
		s = &sampler{}
		p.streams[id] = s
		if err := p.reshape(id, s); err != nil {
			return err
		}
	}
	at := w.books.free(id, model.Millis(w.clock().UnixMilli()))
	samples := 0
	for i := range s.row {
		if w.random.IntN(3) == 0 {
			s.row[i] = w.value()
		}
		if !model.IsAbsent(s.row[i]) {
			samples++
		}
	}
	seq, err := p.frame(id, s, at, samples)
	if err != nil {
		s.encoder.Restart()
		seq, err = p.frame(id, s, at, samples)
	}
	for try := 0; err != nil && try < 2; try++ {
		if err = p.define(id, s); err == nil {
			seq, err = p.frame(id, s, at, samples)
		}
	}
	if err != nil {
		w.life.tell("%s: stream %d: a round is lost: %v", w.name, id, err)
		return nil // nobody was told that it was taken
	}
	w.life.whisper("%s: %v: frame %d of stream %d at %d", w.name, p.boot, seq, id, at)
	w.books.take(&sampled{boot: p.boot, seq: seq, stream: id, at: at, shape: s.shape, row: append([]float64(nil), s.row...),
		samples: uint64(samples), taken: time.Now()})
	return nil
}

func (p *workerProcess) frame(id model.StreamID, s *sampler, at model.Millis, samples int) (uint64, error) {
	payload, key := s.encoder.Append(nil, at, s.row)
	return p.spool.Append(frame.KindFrame, id, key, payload, samples)
}

func (w *worker) value() float64 {
	switch w.random.IntN(12) {
	case 0, 1:
		return model.Absent()
	case 2:
		return math.NaN()
	case 3:
		return math.Inf(1 - 2*w.random.IntN(2))
	case 4:
		return math.Copysign(0, -1)
	case 5, 6:
		return w.random.NormFloat64()
	case 7:
		return math.Float64frombits(w.random.Uint64()&^(0x7ff<<52) | 0x3ff<<52)
	}
	return float64(w.random.IntN(1000))
}

// reshape gives a stream another schema.
func (p *workerProcess) reshape(id model.StreamID, s *sampler) error {
	w := p.worker
	var parts []model.Part
	for n := range 4 {
		if n == 0 || w.random.IntN(2) == 0 {
			parts = append(parts, partOf(id, n, 1+n))
		}
	}
	if w.random.IntN(3) == 0 {
		w.parts++
		parts = append(parts, partOf(id, 1000+w.parts, 1+w.random.IntN(3)))
	}
	if w.life.plan.limited && w.random.IntN(5) == 0 {
		parts = append(parts, partOf(id, 50, 2*maxSeries))
	}
	next, err := newShape(parts)
	if err != nil {
		return err
	}
	s.shape, s.row = next, make([]float64, next.layout.Columns())
	for i := range s.row {
		s.row[i] = w.value()
	}
	if err := p.define(id, s); err != nil {
		w.life.tell("%s: stream %d: no schema: %v", w.name, id, err)
	}
	return nil
}

// partOf is a part of a stream. Streams have no series in common.
func partOf(id model.StreamID, n, columns int) model.Part {
	f := model.Family{Name: fmt.Sprintf("s%d_p%d", id, n), Type: model.Gauge}
	for i := range columns {
		f.Series = append(f.Series, model.LabelsOf("i", fmt.Sprint(i)))
	}
	return model.Part{Collector: f.Name, Families: []model.Family{f}}
}

func (p *workerProcess) define(id model.StreamID, s *sampler) error {
	for _, part := range s.shape.parts {
		encoded, err := frame.AppendPart(nil, part)
		if err == nil {
			_, err = p.spool.Append(frame.KindPart, 0, false, encoded, 0)
		}
		if err != nil {
			return err
		}
	}
	if _, err := p.spool.Append(frame.KindSchema, id, false, frame.AppendSchema(nil, s.shape.schema), 0); err != nil {
		return err
	}
	s.encoder = frame.NewEncoder(s.shape.layout, s.shape.schema.ID(), p.worker.life.plan.keyEvery)
	return nil
}

// say appends an event of so many bytes. Large ones fill spools; whether they arrive,
// nobody counts.
func (p *workerProcess) say(bytes int) {
	payload := append([]byte(`{"type":"note","text":"`), make([]byte, bytes)...)
	for i := len(payload) - bytes; i < len(payload); i++ {
		payload[i] = 'a' + byte(i%26)
	}
	if _, err := p.spool.Append(frame.KindEvent, 0, false, append(payload, `"}`...), 0); err != nil && !errors.Is(err, spool.ErrClosed) {
		p.worker.life.tell("%s: an event is lost: %v", p.worker.name, err)
	}
}

type bytesOf struct{ *rand.Rand }

func (b bytesOf) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(b.Uint32())
	}
	return len(p), nil
}
