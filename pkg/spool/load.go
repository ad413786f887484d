package spool

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// scan calls visit with the entries of a log of indexes from up to, not including,
// to, until it returns false, and bad with those that cannot be read.
func scan(log *durable.Log, from, to uint64, visit func(index uint64, e entry, size int) bool, bad func(durable.Range)) error {
	r := log.Read(from)
	defer r.Close()
	for {
		for r.Next() {
			found := r.Record()
			if found.Index >= to {
				return nil
			}
			e, err := parseEntry(found.Data)
			if errors.Is(err, ErrVersion) {
				return fmt.Errorf("record %d at %v: %w", found.Index, found.At, err)
			}
			if err != nil {
				bad(durable.Range{First: found.Index, End: found.Index + 1})
			} else if !visit(found.Index, e, len(found.Data)) {
				return nil
			}
		}
		damage, ok := errors.AsType[*durable.Damage](r.Err())
		if !ok {
			return r.Err()
		}
		if damage.Lost.First >= to {
			return nil
		}
		bad(damage.Lost)
		r.Resume()
	}
}

// world is what is found in the folder.
type world struct {
	records, definitions *durable.Log
	defs                 definitions
	boots                map[uint32]*boot
	order                []*boot // those that records were found of, rising
	highest              uint32  // number of a boot
	newest               model.Millis
	closed               bool                       // the last thing written was an orderly end
	last                 *boot                      // whose
	floor                uint64                     // index up to which everything was dropped
	done                 map[model.BootID]intervals // by the cursor
	later                bool                       // something was counted as lost that is there, and was read before that was known
	losses               []found                    // that nobody has told yet
	nameless             map[*boot]*found           // frames of boots of which nothing else was read yet
	damage               []*durable.Damage
}

// gone notes a loss. Those that follow each other and are alike become one.
func (w *world) gone(f found) {
	if n := len(w.losses); n > 0 {
		last := &w.losses[n-1]
		if last.boot == f.boot && last.to+1 == f.from && f.frames == f.to-f.from+1 && last.frames == last.to-last.from+1 &&
			f.samples*last.frames == last.samples*f.frames && !f.guess && !last.guess {
			last.to, last.until = f.to, max(last.until, f.until)
			last.frames, last.samples = last.frames+f.frames, last.samples+f.samples
			return
		}
	}
	w.losses = append(w.losses, f)
}

func (w *world) close() {
	for _, log := range []*durable.Log{w.records, w.definitions} {
		if log != nil {
			log.Close()
		}
	}
}

// load opens the folder and reads everything in it.
func (s *Spool) load() (*world, error) {
	w := &world{}
	if err := s.fill(w); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

func (s *Spool) fill(w *world) (err error) {
	if w.definitions, err = s.openLog(w, definitionsFolder, min(s.limits.segment, model.MiB), s.limits.unsynced); err != nil {
		return err
	}
	if w.records, err = s.openLog(w, recordsFolder, s.limits.segment, s.limits.unsynced); err != nil {
		return err
	}
	saved, damaged, err := s.cursor.load()
	if err != nil {
		return err
	}
	if damaged != nil {
		s.log.Warn("the note of what was acknowledged cannot be read: some records are sent again", logkey.Path, s.cursor.path, logkey.Err, damaged)
	}
	if err := w.read(saved, nil, uint64(s.limits.chunk)); err != nil || !w.later {
		return err
	}
	// What was counted as lost breaks the chain of its stream, and that was only read
	// behind it.
	told := map[uint32]intervals{}
	for number, b := range w.boots {
		told[number] = b.told
	}
	*w = world{records: w.records, definitions: w.definitions, damage: w.damage}
	return w.read(saved, told, uint64(s.limits.chunk))
}

// read reads both logs. told is what is known to be counted as lost.
func (w *world) read(saved cursor, told map[uint32]intervals, chunkSize uint64) error {
	w.boots, w.defs, w.newest = map[uint32]*boot{}, definitions{contents: map[[16]byte]*content{}}, saved.newest
	if err := w.readDefinitions(); err != nil {
		return err
	}
	for number, seqs := range told {
		w.at(number).lost = seqs
	}
	w.done, w.nameless = map[model.BootID]intervals{}, map[*boot]*found{}
	for _, one := range saved.boots {
		w.done[one.id] = one.done
	}
	return w.readRecords(chunkSize)
}

// at returns a boot, about which nothing else needs to be known.
func (w *world) at(number uint32) *boot {
	b := w.boots[number]
	if b == nil {
		b = newBoot(number, start{})
		w.boots[number] = b
	}
	return b
}

func (s *Spool) openLog(w *world, folder string, segment, unsynced model.Bytes) (*durable.Log, error) {
	log, damage, err := durable.Open(filepath.Join(s.deps.Dir, folder), durable.Options{SegmentBytes: segment,
		MaxUnsynced: unsynced, Buffer: min(64*model.KiB, unsynced), FS: s.deps.FS, Now: s.now, Random: s.deps.Random})
	w.damage = append(w.damage, damage...)
	return log, err
}

// readDefinitions reads the log of definitions.
func (w *world) readDefinitions() error {
	err := scan(w.definitions, 0, w.definitions.Next(), func(_ uint64, e entry, _ int) bool {
		switch e.kind {
		case kindBoot:
			w.meet(e)
		case kindContent:
			id := frame.PartIDOf(e.def.payload) // schemas are named likewise
			_ = w.defs.add(e.def.kind, id, e.def.payload)
		case kindMention:
			w.at(e.boot).mention(mention{seq: e.def.seq, kind: e.def.kind, stream: e.def.stream, id: e.def.id})
		}
		return true
	}, func(durable.Range) {})
	for _, b := range w.boots {
		b.findTorn(&w.defs)
	}
	return err
}

// findTorn finds the schemas that cannot be given to anybody: something of them, or a
// mention of one of their parts, was lost.
func (b *boot) findTorn(defs *definitions) {
	have := map[[16]byte]bool{}
	for i := range b.mentions {
		m := &b.mentions[i]
		have[m.id] = have[m.id] || m.kind == frame.KindPart
		if m.kind != frame.KindSchema {
			continue
		}
		if m.torn = !defs.knows(m.id); m.torn {
			continue
		}
		for _, part := range defs.contents[m.id].parts {
			m.torn = m.torn || !have[part]
		}
	}
}

// meet takes note of a boot.
func (w *world) meet(e entry) *boot {
	b := w.at(e.boot)
	b.start = e.start
	w.highest = max(w.highest, e.boot)
	return b
}

// mention notes a mention that is read back; one may be there several times.
func (b *boot) mention(m mention) {
	at := b.mentionAfter(m.seq)
	if at > 0 && b.mentions[at-1].seq == m.seq {
		return
	}
	b.mentions = slices.Insert(b.mentions, at, m)
	b.next = max(b.next, m.seq+1)
}

// readRecords reads the log of records.
func (w *world) readRecords(chunkSize uint64) error {
	v := newSurvey(&w.defs, w.boots)
	v.gone = w.gone
	err := scan(w.records, 0, w.records.Next(), func(index uint64, e entry, size int) bool {
		w.closed = false
		switch e.kind {
		case kindBoot:
			w.last = w.meet(e)
			v.begin(e)
		case kindClosed:
			w.closed, w.last = true, w.boots[e.boot]
		case kindRecord, kindLoss:
			w.take(v, index, e, size, chunkSize)
		}
		return true
	}, v.bad)
	if err != nil {
		return err
	}
	v.end()
	for _, b := range w.boots {
		w.highest = max(w.highest, b.number)
		for _, i := range w.done[b.start.id] {
			b.done.add(i.from, i.to)
		}
		if len(b.runs) == 0 {
			continue
		}
		w.order = append(w.order, b)
		if f := w.nameless[b]; f != nil && b.start.id.IsZero() {
			w.losses = append(w.losses, *f)
		}
	}
	slices.SortFunc(w.order, func(a, b *boot) int { return int(a.number) - int(b.number) })
	w.settle()
	return nil
}

func (w *world) take(v *survey, index uint64, e entry, size int, chunkSize uint64) {
	found, err := v.take(e, size)
	if err != nil {
		v.bad(durable.Range{First: index, End: index + 1})
		return
	}
	b, r := found.boot, found.record
	if len(b.runs) == 0 && !v.seen[b.number].whole && !v.seen[b.number].damaged {
		b.done.add(1, r.seq-1) // it left the log
	}
	b.note(r, chunkSize)
	b.frames, b.total = e.frames, e.total
	b.place(r.seq, index)
	w.last, w.newest = b, max(w.newest, b.newest)
	switch {
	case found.known:
		b.done.add(r.seq, r.seq)
	case b.start.id.IsZero() && r.kind == frame.KindFrame:
		w.noteNameless(b, r)
	case found.orphan:
		v.gone(lostFrame(b, r))
	}
	if e.kind != kindLoss {
		return
	}
	w.floor = max(w.floor, e.through)
	for _, l := range e.lost {
		b := w.at(l.boot)
		_, _, there := b.logged(l.from)
		w.later = w.later || there && b.lost.count(l.from, l.to) < l.to-l.from+1
		b.lost.add(l.from, l.to)
		b.told.add(l.from, l.to)
	}
}

// noteNameless counts a frame of which it is not known yet whose it is.
func (w *world) noteNameless(b *boot, r record) {
	f := w.nameless[b]
	if f == nil {
		f = &found{boot: b, from: r.seq, at: r.header.At}
		w.nameless[b] = f
	}
	f.to, f.until = r.seq, r.header.At
	f.frames, f.samples = f.frames+1, f.samples+r.samples
}

// settle lets what was dropped be gone.
func (w *world) settle() {
	for _, b := range w.order {
		dropped := b.runs[0].index <= w.floor
		b.forget(w.floor + 1)
		switch {
		case len(b.runs) == 0:
			b.done.add(1, b.next-1)
		case dropped:
			b.done.add(1, b.runs[0].seq-1)
		}
	}
}

// startOf is what is written down of this process.
func (w *world) startOf(s start) start {
	if b := w.last; b != nil {
		s.before, s.formerSeq, s.formerFrames, s.formerTotals = b.number, b.next-1, b.frames, b.total
		if n := len(b.runs); n > 0 { // what may have come behind it was never on disk
			s.formerSeq = b.runs[n-1].seq + b.runs[n-1].n - 1
		}
	}
	return s
}

// former is the process before this one.
type former struct {
	newest model.Millis // time of its last frame
	closed bool         // it ended in an orderly way
}

func millis(t time.Time) model.Millis { return model.Millis(t.UnixMilli()) }
