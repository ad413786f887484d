package crash

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/durable/durabletest"
	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/block"
	"github.com/cloudless-fleet/cloudless/pkg/store/journal"
	"github.com/cloudless-fleet/cloudless/pkg/store/volume"
)

// found is what the files of a store hold of one worker.
type found struct {
	rows map[rowKey]int // how often
	ends map[rowKey]bool
	// vague: the journal ends lanes, and which of them were live it does not say.
	vague bool
}

// read reads all files of the store. They do not change meanwhile. journaled says that
// rows may be in the journal: otherwise it has to be without any.
func (l *life) read(journaled bool) map[model.WorkerID]*found {
	all := map[model.WorkerID]*found{}
	for _, w := range l.workers {
		all[w.id] = &found{rows: map[rowKey]int{}, ends: map[rowKey]bool{}}
	}
	copied := durabletest.New(1)
	for _, name := range l.collector.disk.Names() {
		if content, ok := l.collector.disk.Content(name); ok {
			copied.SetContent(name, content)
		}
	}
	there := &process{machine: &machine{name: "reader", disk: copied}, disk: copied, died: func() {}}
	there.left.Store(-1)
	volumes := l.readVolumes(there, all)
	l.readJournal(there, volumes, journaled, all)
	return all
}

func (l *life) readVolumes(disk *process, all map[model.WorkerID]*found) map[uint64]bool {
	numbers := map[uint64]bool{}
	for _, name := range disk.disk.Names() {
		if filepath.Dir(name) != filepath.Join(storeDir, "volumes") || !strings.HasSuffix(name, ".raw") {
			continue
		}
		f, damage, err := volume.OpenFile(name, volume.Deps{FS: disk})
		if err != nil || len(damage) > 0 {
			l.fail("%s: %v %v", name, damage, err)
			continue
		}
		numbers[f.Number()] = true
		if err := f.Each(func(e volume.Entry) error { return l.readEntry(f, e, all[e.Worker]) }); err != nil {
			l.fail("%s: %v", name, err)
		}
		f.Release()
	}
	return numbers
}

func (l *life) readEntry(f *volume.File, e volume.Entry, to *found) error {
	if to == nil {
		return fmt.Errorf("entry of worker %v, which does not exist", e.Worker)
	}
	if e.Size == 0 {
		to.ends[rowKey{e.Stream, e.First}] = true
		return nil
	}
	b, err := f.Block(e, nil)
	if err != nil {
		return err
	}
	rows, err := readBlock(b)
	if err != nil {
		return err
	}
	books := l.booksOf(e.Worker)
	for at, row := range rows {
		key := rowKey{e.Stream, at}
		to.rows[key]++
		was := books.byRow[key]
		if was == nil {
			l.fail("volume %d: stream %d has a row at %d that nobody has measured", f.Number(), e.Stream, at)
			continue
		}
		if diff := was.differs(row); diff != "" {
			l.fail("volume %d: record %d of %v, stream %d at %d: %s", f.Number(), was.seq, was.boot, e.Stream, at, diff)
		}
	}
	return nil
}

// readBlock reads all of a block: per row, the values of each part.
func readBlock(b *block.Block) (map[model.Millis]map[frame.PartID][]float64, error) {
	r := block.NewReader()
	r.Reset(b)
	times, err := r.Times()
	if err != nil {
		return nil, err
	}
	rows := map[model.Millis]map[frame.PartID][]float64{}
	for _, at := range times {
		rows[model.Millis(at)] = map[frame.PartID][]float64{}
	}
	for part := range b.Parts() {
		if err := r.Select(part); err != nil {
			return nil, err
		}
		info := b.Part(part)
		columns := make([][]float64, info.Columns)
		for c := range columns {
			if columns[c], err = r.Values(nil, c, 0, info.Rows); err != nil {
				return nil, err
			}
		}
		for i := range info.Rows {
			at, err := r.TimeOf(i)
			if err != nil {
				return nil, err
			}
			for c := range columns {
				rows[at][info.ID] = append(rows[at][info.ID], columns[c][i])
			}
		}
	}
	return rows, nil
}

// differs says what of a stored row is not what was measured.
func (f *sampled) differs(row map[frame.PartID][]float64) string {
	if len(row) != len(f.shape.ids) {
		return fmt.Sprintf("%d parts, want %d", len(row), len(f.shape.ids))
	}
	at := 0
	for i, id := range f.shape.ids {
		n := f.shape.parts[i].Columns()
		want := f.row[at : at+n]
		if !slices.EqualFunc(row[id], want, func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) }) {
			return fmt.Sprintf("part %d: got %v, want %v", i, row[id], want)
		}
		at += n
	}
	return ""
}

// lane is a stream of a source in the journal.
type lane struct {
	source uint32
	stream model.StreamID
}

// readJournal counts the frames of the journal that are in no volume yet.
func (l *life) readJournal(disk *process, volumes map[uint64]bool, journaled bool, all map[model.WorkerID]*found) {
	j, damage, err := journal.Open(filepath.Join(storeDir, "journal"), journal.Options{FS: disk})
	if err != nil || len(damage) > 0 {
		l.fail("journal: %v %v", damage, err)
		return
	}
	defer j.Close()
	sessions := map[uint64]journal.Session{}
	open := map[lane]map[seqKey]int{}
	owners := map[lane]model.WorkerID{}
	strays := map[model.StreamID][]uint64{}
	err = j.Replay(func(index uint64, e journal.Entry) error {
		l.whisper("journal %d: %v session %d stream %d volume %d, %d to %d, boot %v", index, e.Kind, e.Session, e.Stream, e.Volume, e.From, e.To+e.Seq, e.Boot)
		switch e.Kind {
		case journal.KindSession:
			sessions[e.Session] = journal.Session{Worker: e.Worker, Boot: e.Boot, Source: e.Source}
		case journal.KindEnd:
			for _, f := range all {
				f.vague = f.vague || journaled
			}
		case journal.KindSealed:
			if volumes[e.Volume] {
				delete(open, lane{e.Source, e.Stream})
				delete(strays, e.Stream)
			}
		case journal.KindRecord:
			r, _, err := frame.ParseRecord(e.Raw)
			if err != nil || r.Kind != frame.KindFrame {
				return err
			}
			s, known := sessions[e.Session]
			if !known { // of one that ended before what a pass has sealed: sealed as well
				strays[r.Stream] = append(strays[r.Stream], r.Seq)
				return nil
			}
			at := lane{s.Source, r.Stream}
			if open[at] == nil {
				open[at] = map[seqKey]int{}
			}
			open[at][seqKey{s.Boot, r.Seq}]++
			owners[at] = s.Worker
		}
		return nil
	}, func(d *durable.Damage) { l.fail("journal: %v", d) })
	if err != nil {
		l.fail("journal: %v", err)
	}
	if l.plan.forgets { // the volume that they are in may be gone
		clear(strays)
	}
	for id, seqs := range strays {
		l.fail("journal: records %d of stream %d are of sessions that are not there", seqs, id)
	}
	for at, frames := range open {
		books, to := l.booksOf(owners[at]), all[owners[at]]
		for key, n := range frames {
			if f := books.bySeq[key]; f == nil {
				l.fail("journal: record %d of %v, which nobody has measured", key.seq, key.boot)
			} else {
				to.rows[rowKey{f.stream, f.at}] += n
			}
			if !journaled {
				l.fail("journal: record %d of %v is in it after a pass", key.seq, key.boot)
			}
		}
	}
}

func (l *life) booksOf(id model.WorkerID) *books {
	for _, w := range l.workers {
		if w.id == id {
			return w.books
		}
	}
	return newBooks()
}
