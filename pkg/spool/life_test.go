package spool

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/durable/durabletest"
	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

var (
	seeds = flag.Int("seeds", 100, "random lives that TestLives leads; more in a soak")
	seed1 = flag.Int("seed", -1, "the one to lead, and to tell about")
)

// TestLives leads spools through random lives: streams of different rates, schema
// changes, outages, full spools, old records, full disks, disks that fail, kills, power
// cuts, damage. Everything that is given can be decoded, and in the end what the
// collector has, and what the gap events say, is what was appended, to the sample.
func TestLives(t *testing.T) {
	from, to := 0, *seeds
	if *seed1 >= 0 {
		from, to = *seed1, *seed1+1
	}
	for seed := from; seed < to; seed++ {
		func() {
			l := newLife(uint64(seed))
			defer func() {
				if r := recover(); r != nil {
					story := l.story
					if *seed1 < 0 {
						story = story[max(0, len(story)-40):]
					}
					t.Fatalf("seed %d: %v\n%s\n%s", seed, r, strings.Join(story, "\n"), debug.Stack())
				}
			}()
			l.lead(1500)
		}()
	}
}

const lifeDir = "/spool"

type life struct {
	random *rand.Rand
	seed   uint64
	disk   *durabletest.Disk
	config Config
	limits limits
	now    time.Time
	boots  int
	spool  *Spool
	known  map[*boot]bool // to this process's spool, ever
	from   *sampler
	to     *collector
	live   *link // nil: not connected
	back   *link
	// lost is what the spools have counted as lost, and excused what a power cut or a
	// kill has taken that was not on disk.
	lost    map[name]bool
	excused map[name]bool
	events  int
	// doubtful: an acknowledgement was lost, so something may be counted as lost that
	// has arrived.
	doubtful bool
	// calm: no acknowledgement is lost, and what was acknowledged is written down before
	// a process ends.
	calm    bool
	faulty  bool                  // the disk fails
	vague   map[model.BootID]bool // ended while the disk failed: what was in memory is gone
	exact   bool                  // all frames of a stream have as many values
	damage  bool                  // bits flip
	reports []stretchOf
	story   []string
}

func newLife(seed uint64) *life {
	l := &life{random: rand.New(rand.NewPCG(seed, 7)), seed: seed, disk: durabletest.New(seed), now: time.UnixMilli(1_700_000_000_000),
		to: newCollector(), lost: map[name]bool{}, known: map[*boot]bool{}, excused: map[name]bool{}, vague: map[model.BootID]bool{}}
	l.config = Config{MaxBytes: model.Bytes(24+l.random.IntN(100)) * model.KiB, MaxAge: 24 * time.Hour, SyncInterval: 10 * time.Second,
		Order: NewestFirst, LiveBacklog: model.Bytes(l.random.IntN(8)) * model.KiB}
	if l.random.IntN(3) == 0 {
		l.config.Order = OldestFirst
	}
	if l.random.IntN(3) == 0 {
		l.config.MaxAge = time.Duration(1+l.random.IntN(20)) * time.Minute
	}
	l.limits = limits{segment: 4 * model.KiB, unsynced: 4 * model.KiB, memory: 8 * model.KiB, definitions: 16 * model.KiB,
		group: 2 * model.KiB, chunk: model.Bytes(200 + l.random.IntN(2000)), idle: 8 * model.KiB, gaps: 2, told: 6}
	l.damage, l.exact, l.calm = l.random.IntN(3) == 0, l.random.IntN(2) == 0, l.random.IntN(2) == 0
	l.from = newSampler(nil, 2+l.random.IntN(20))
	l.from.at = model.Millis(l.now.UnixMilli())
	if !l.exact && !l.damage {
		l.from.vary = func() int { return l.random.IntN(3) }
	}
	l.disk.SetClock(func() time.Time { return l.now })
	l.begin()
	return l
}

func (l *life) tell(format string, args ...any) {
	l.story = append(l.story, fmt.Sprintf(format, args...))
}

type bytesOf struct{ *rand.Rand }

func (b bytesOf) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(b.Uint32())
	}
	return len(p), nil
}

// begin starts a process.
func (l *life) begin() {
	l.boots++
	id := model.BootIDFrom([16]byte{byte(l.seed), byte(l.boots >> 8), byte(l.boots), 1})
	var err error
	l.spool, err = open(l.config, l.limits, Deps{Dir: lifeDir, Boot: id, Worker: model.WorkerIDFrom([16]byte{1}), Fleet: "lab",
		Now: func() time.Time { return l.now }, FS: l.disk, Random: bytesOf{l.random}})
	if err != nil {
		fail("open: %v", err)
	}
	l.spool.mu.Lock()
	l.spool.watch = func(b *boot) { l.known[b] = true }
	l.spool.mu.Unlock()
	l.live, l.back = nil, nil
	clear(l.known)
	l.from.use(l.spool)
	l.tell("process %d, boot %v, %d former boots", l.boots, id, l.spool.Stats().FormerBoots)
	for stream := range model.StreamID(3) {
		l.define(stream, int(stream), 10)
	}
	l.note()
}

func (l *life) define(stream model.StreamID, parts ...int) {
	if err := l.from.define(stream, parts...); err != nil {
		fail("define stream %d: %v", stream, err)
	}
}

// note remembers what the spool has counted as lost.
func (l *life) note() {
	l.spool.mu.Lock()
	defer l.spool.mu.Unlock()
	for _, b := range l.spool.boots {
		l.known[b] = true
	}
	for b := range l.known { // a drop may have ended what is known of one
		for _, i := range b.lost {
			for seq := i.from; seq <= i.to; seq++ {
				l.lost[name{b.start.id, seq}] = true
			}
		}
	}
}

func (l *life) lead(steps int) {
	for i := range steps {
		l.now = l.now.Add(time.Second)
		l.from.at = max(l.from.at, model.Millis(l.now.UnixMilli())-1000)
		l.step(i)
		l.note()
		check(l.spool)
	}
	l.disk.SetFaults(durabletest.Faults{})
	l.disk.SetRoom(1 << 40)
	l.faulty = false
	l.now = l.now.Add(time.Minute)
	l.spool.tend()
	l.note()
	if l.config.MaxAge < time.Hour {
		l.config.MaxAge = 24 * time.Hour
	}
	l.empty()
	l.spool.tend()
	l.now = l.now.Add(2 * time.Minute)
	l.spool.tend()
	l.empty()
	l.note()
	l.judge()
	if err := l.spool.Close(); err != nil {
		fail("close: %v", err)
	}
}

func (l *life) step(i int) {
	switch n := l.random.IntN(1000); {
	case n < 600:
		l.from.round(model.StreamID(l.random.IntN(3) * l.random.IntN(2)))
	case n < 610:
		if _, err := l.spool.Append(frame.KindEvent, 0, false, []byte(`{"type":"note"}`), 0); err != nil {
			fail("event: %v", err)
		}
		l.events++
	case n < 640:
		l.define(model.StreamID(l.random.IntN(3)), l.random.IntN(6), 10+l.random.IntN(4))
	case n < 760:
		l.spool.tend()
	case n < 850:
		l.receive(1 + l.random.IntN(6000))
	case n < 900:
		l.connect()
	case n < 915:
		l.drop()
	case n < 925:
		l.now = l.now.Add(time.Duration(l.random.IntN(600)) * time.Second)
		l.spool.tend()
	case n < 935 && i > 50:
		l.end()
	case n < 950:
		l.trouble()
	case n < 953 && l.damage:
		l.findReports()
		l.flip(1)
	}
}

// connect makes a connection of either kind.
func (l *life) connect() {
	if l.random.IntN(2) == 0 || l.live == nil {
		if st, err := l.spool.Live(done()); err == nil {
			l.disconnect(&l.live)
			l.live = l.to.connect(st, true)
			l.tell("live from %d, resume %d", st.first, l.live.resume)
		}
		return
	}
	if st, err := l.spool.Backlog(done()); err == nil {
		l.disconnect(&l.back)
		l.back = l.to.connect(st, true)
		l.tell("backlog of %v, %d to %d, resume %d", st.Boot(), st.first, st.end-1, l.back.resume)
	}
}

// disconnect ends a connection. What is stored by then counts when the next one is
// made; until then the spool does not know.
func (l *life) disconnect(which **link) { *which = nil }

func (l *life) drop() {
	l.disconnect(&l.live)
	l.disconnect(&l.back)
	l.tell("disconnected")
}

func (l *life) receive(most int) {
	for _, link := range []*link{l.live, l.back} {
		if link == nil || l.random.IntN(3) == 0 {
			continue
		}
		for range 1 + l.random.IntN(4) {
			link.pull(most)
			if l.calm || l.random.IntN(20) > 0 {
				link.ack()
			} else {
				l.doubtful = true
			}
		}
	}
}

// empty delivers everything.
func (l *life) empty() {
	l.drop()
	for range 10000 {
		st, err := l.spool.Live(done())
		if err == nil {
			l.live = l.to.connect(st, true)
			for l.live.pull(4000) {
				l.live.ack()
			}
		}
		st, err = l.spool.Backlog(done())
		if err != nil {
			return
		}
		l.back = l.to.connect(st, true)
		for l.back.pull(4000) {
			l.back.ack()
		}
		if l.back.ended {
			st.Acked(l.back.after)
		}
	}
	fail("the backlog never ends: %+v", l.spool.Stats())
}

// judge compares what was appended with what has arrived and what is told.
func (l *life) judge() {
	counted, told := map[model.BootID]sum{}, map[model.BootID]sum{}
	var silent []name
	for at, frame := range l.from.said {
		row, arrived := l.to.rows[at]
		if arrived && row != frame.first {
			fail("frame %d of %v decoded to %v, want %v", at.seq, at.boot, row, frame.first)
		}
		if l.lost[at] && !l.vague[at.boot] {
			counted[at.boot] = sum{counted[at.boot].frames + 1, counted[at.boot].samples + frame.samples}
			if arrived && !l.doubtful {
				fail("frame %d of %v has arrived, and is counted as lost", at.seq, at.boot)
			}
			continue
		}
		if !arrived && !l.excused[at] && !l.lost[at] {
			silent = append(silent, at)
		}
	}
	for gap := range l.to.gaps { // damage can make a boot nameless
		if nameless := gap.Boot.IsZero() && gap.Cause.Sampled(); nameless {
			silent = silent[min(len(silent), int(gap.Frames)):]
		}
	}
	if len(silent) > 0 {
		fail("frame %d of %v has not arrived, and nobody says so", silent[0].seq, silent[0].boot)
	}
	for at := range l.to.rows {
		if _, ok := l.from.said[at]; !ok {
			fail("frame %d of %v was never appended", at.seq, at.boot)
		}
	}
	guessed := map[model.BootID]bool{}
	for gap := range l.to.gaps {
		guessed[gap.Boot] = guessed[gap.Boot] || gap.Text == guess || gap.Text == together
		if gap.Cause.Sampled() && !l.vague[gap.Boot] {
			told[gap.Boot] = sum{told[gap.Boot].frames + gap.Frames, told[gap.Boot].samples + gap.Samples}
		}
	}
	for boot := range guessed {
		if counted[boot] != told[boot] && !guessed[boot] && !boot.IsZero() {
			fail("of %v are lost %+v, and the gap events say %+v:\n%s", boot, counted[boot], told[boot], l.losses(boot))
		}
	}
	for boot := range counted {
		if told[boot].frames == 0 {
			fail("of %v are lost %+v, and nobody says so", boot, counted[boot])
		}
	}
}

type sum struct{ frames, samples uint64 }

// losses lists what is lost of a boot, and what is told of it.
func (l *life) losses(boot model.BootID) string {
	var all []string
	for gap := range l.to.gaps {
		if gap.Boot == boot {
			all = append(all, fmt.Sprintf("%3d to %d: %+v", gap.FirstSeq, gap.LastSeq, gap))
		}
	}
	for at, frame := range l.from.said {
		if l.lost[at] && at.boot == boot {
			_, arrived := l.to.rows[at]
			all = append(all, fmt.Sprintf("%3d has %d, arrived: %v", at.seq, frame.samples, arrived))
		}
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}
