package crash

import (
	"fmt"
	"slices"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/event"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/ledger"
)

// judge closes the books: with what is in the journal, when all is sealed, and once more
// after a start.
func (l *life) judge() {
	time.Sleep(time.Second) // for a group commit
	synctest.Wait()
	l.judgeAt("before the last pass", true)
	if err := l.collector.now.store.Pass(); err != nil {
		l.fail("the last pass: %v", err)
	}
	l.judgeAt("sealed", false)
	before := l.gaps()
	if err := l.collector.now.end(); err != nil {
		l.fail("collector: end: %v", err)
	}
	if l.startCollector(); l.collector.now == nil {
		return
	}
	if diff := gocmp.Diff(before, l.gaps()); diff != "" && !l.plan.forgets {
		l.fail("after a start the ledger is another one (-before +after):\n%s", diff)
	}
	l.judgeAt("after a start", false)
}

func (l *life) judgeAt(stage string, journaled bool) {
	if l.fails > 0 {
		return
	}
	l.tell("the books %s", stage)
	all := l.read(journaled)
	for _, w := range l.workers {
		w.books.settle()
		j := &judgement{life: l, worker: w, books: w.books, stage: stage, found: all[w.id], gaps: l.gapsOf(w)}
		j.once()
		j.balance()
		j.queries()
	}
}

// gaps are the entries of all workers.
func (l *life) gaps() (all []ledger.Entry) {
	for _, w := range l.workers {
		all = append(all, l.gapsOf(w)...)
	}
	return all
}

func (l *life) gapsOf(w *worker) []ledger.Entry {
	found, more := l.collector.now.store.Ledger().Find(ledger.Query{Worker: w.id, Limit: 20000})
	if more {
		l.fail("%s: more gaps than can be", w.name)
	}
	return found
}

// judgement is what is found of one worker.
type judgement struct {
	*life
	worker *worker
	books  *books
	stage  string
	found  *found
	gaps   []ledger.Entry
}

func (j *judgement) fail(format string, args ...any) {
	j.life.fail("%s: %s: %s", j.stage, j.worker.name, fmt.Sprintf(format, args...))
}

func (f *sampled) String() string {
	return fmt.Sprintf("frame %d of %v (stream %d, %d, %d samples, taken %v)", f.seq, f.boot, f.stream, f.at, f.samples, f.taken.Format("15:04:05.000"))
}

// once demands that each row is there once.
func (j *judgement) once() {
	j.books.stored = map[*sampled]bool{}
	for key, n := range j.found.rows {
		f := j.books.byRow[key]
		if f == nil {
			continue // it was told of
		}
		j.books.stored[f] = true
		if n != 1 {
			j.fail("%v is stored %d times", f, n)
		}
	}
}

// sums are frames and samples.
type sums struct{ frames, samples uint64 }

// balance compares what is stored, and what the ledger says, with what was measured.
func (j *judgement) balance() {
	boots := map[model.BootID][]*sampled{}
	for _, f := range j.books.frames {
		boots[f.boot] = append(boots[f.boot], f)
	}
	for boot, frames := range boots {
		j.balanceBoot(boot, frames)
	}
}

// counts says that the entry counts frames of a boot that were measured and are lost.
func counts(e ledger.Entry, boot model.BootID) bool {
	return e.Gap.Boot == boot && (e.Gap.Cause.Sampled() || e.Gap.Cause.Refused()) && e.Gap.FirstSeq > 0
}

func (j *judgement) balanceBoot(boot model.BootID, frames []*sampled) {
	var told, missing sums
	exact, most := true, true // samples of refused frames are known; what was told twice can be told apart
	var lost, refused []event.Gap
	for _, e := range j.gaps {
		if !counts(e, boot) {
			continue
		}
		g := e.Gap
		told.frames, told.samples = told.frames+g.Frames, told.samples+g.Samples
		if g.Cause.Refused() {
			refused = append(refused, g)
			exact = exact && (g.Cause == event.RefusedFuture || g.Cause == event.RefusedTooOld)
		} else {
			lost = append(lost, g)
			most = most && g.Text == ""
		}
	}
	var gone []uint64
	doubtful := sums{} // in the ledger twice, or stored as well: the worker was not told in time that it had arrived
	for _, f := range frames {
		inLost, inRefused := f.in(lost), f.in(refused)
		if inLost && (inRefused || j.books.stored[f]) && j.strict != nothingTwice {
			doubtful.frames, doubtful.samples = doubtful.frames+1, doubtful.samples+f.samples
		}
		switch {
		case j.books.stored[f]:
		case f.old(j.life):
			most = false // it may be in the ledger
		case (inLost || inRefused) && j.mayBeGone(f): // gaps are ranges of numbers: this one may not be meant
			doubtful.frames, doubtful.samples = doubtful.frames+1, doubtful.samples+f.samples
		case inLost, inRefused:
			missing.frames, missing.samples = missing.frames+1, missing.samples+f.samples
			gone = append(gone, f.seq)
		case f.told:
			j.fail("%v was acknowledged, and is neither stored nor in the ledger", f)
		default:
			j.excuse(f)
		}
	}
	if told.frames < missing.frames || exact && told.samples < missing.samples {
		j.fail("boot %v: the ledger has %+v, missing are %+v, %d: %v %v", boot, told, missing, gone, lost, refused)
	}
	if j.plan.calm && !j.plan.crowded && !j.plan.aged { // nothing goes that is under way
		doubtful = sums{}
	}
	if most && (told.frames > missing.frames+doubtful.frames || told.samples > missing.samples+doubtful.samples) {
		j.fail("boot %v: the ledger has %+v, missing are %+v, and %+v of which the worker may not have known that they arrived: %v %v",
			boot, told, missing, doubtful, lost, refused)
	}
}

// in says that one of the gaps covers the number of the frame.
func (f *sampled) in(gaps []event.Gap) bool {
	return slices.ContainsFunc(gaps, func(g event.Gap) bool { return g.FirstSeq <= f.seq && f.seq <= g.LastSeq })
}

// old says that the retention may have taken the frame, or what the ledger had of it.
func (f *sampled) old(l *life) bool {
	return l.plan.forgets && (f.at < l.oldest() || time.Since(f.taken) > l.collector.config.Retention-time.Minute)
}

// oldest is the time from which on everything is kept.
func (l *life) oldest() model.Millis {
	return model.Millis(time.Now().Add(-l.collector.config.Retention).UnixMilli())
}

// hurry is by how much the times of one stream may be ahead of another's, in milliseconds: many
// frames are made at once, and each gets a time of its own.
const hurry = 100

// mayBeGone says that the frame may have gone with its process.
func (j *judgement) mayBeGone(f *sampled) bool {
	e, ended := j.books.ends[f.boot]
	return ended && !f.told && !f.taken.Before(e.since) && (e.how != stopped || e.since.IsZero())
}

// excuse looks for the reason why a frame is gone that nobody has counted.
func (j *judgement) excuse(f *sampled) {
	e := j.books.ends[f.boot]
	if !j.mayBeGone(f) {
		j.fail("%v is neither stored nor in the ledger; its process ended: %+v", f, e)
		return
	}
	if j.plan.clocks || !j.worker.troubled.IsZero() && j.strict != everyTimeCovered {
		return // by whose clock? And see TestEveryTimeWithoutFramesIsCoveredHoweverTheDiskWas
	}
	covered := slices.ContainsFunc(j.gaps, func(e ledger.Entry) bool {
		c := e.Gap.Cause
		return (c == event.AgentCrashed || c == event.HostOff || c == event.AgentStopped) && e.Gap.From <= f.at+hurry && f.at <= e.Gap.To
	})
	if !covered {
		j.fail("%v went with its process (%+v), and no gap covers its time", f, e)
	}
}
