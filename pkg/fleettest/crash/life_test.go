package crash

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/spool"
	"github.com/cloudless-fleet/cloudless/pkg/store"
	"github.com/cloudless-fleet/cloudless/pkg/stream"
)

// plan is what kind of life a seed leads.
type plan struct {
	steps    int
	keyEvery int
	streams  int
	calm     bool // no connection is cut, no process is killed: no acknowledgement is lost
	crowded  bool // spools overflow
	aged     bool // what waits for long is dropped
	limited  bool // the collector grants few series
	clocks   bool // workers' clocks are set
	forgets  bool // the collector keeps two hours
	broken   bool // disks fail
}

// maxSeries is what the collector grants in a limited life.
const maxSeries = 60

// life is one seed.
type life struct {
	t         *testing.T
	seed      uint64
	random    *rand.Rand
	plan      plan
	log       *slog.Logger
	loud      bool
	strict    strict
	begun     time.Time
	net       *network
	workers   []*worker
	collector *collector
	tasks     sync.WaitGroup

	mu    sync.Mutex
	story []string
	fails int
}

// tell notes what happens.
func (l *life) tell(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.story = append(l.story, fmt.Sprintf("%10v ", time.Since(l.begun).Round(time.Millisecond))+fmt.Sprintf(format, args...))
}

// whisper notes what only matters to who looks at this one life.
func (l *life) whisper(format string, args ...any) {
	if l.loud {
		l.tell(format, args...)
	}
}

// fail notes that the books do not balance.
func (l *life) fail(format string, args ...any) {
	l.mu.Lock()
	l.fails++
	few := l.fails <= 12
	l.mu.Unlock()
	if few {
		l.t.Errorf(format, args...)
	}
}

// Write takes what the parts log.
func (l *life) Write(b []byte) (int, error) {
	l.tell("    %s", strings.TrimSpace(string(b)))
	return len(b), nil
}

func newLife(t *testing.T, seed uint64, loud bool) *life {
	l := &life{t: t, seed: seed, random: rand.New(rand.NewPCG(seed, 17)), begun: time.Now(), log: slog.New(slog.DiscardHandler), loud: loud}
	if loud {
		l.log = slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}}))
	}
	r := l.random
	one := func(in int) bool { return r.IntN(in) == 0 }
	l.plan = plan{steps: 60 + r.IntN(100), keyEvery: 2 + r.IntN(20), streams: 1 + r.IntN(4), calm: one(6), crowded: one(4), aged: one(4),
		limited: one(5), clocks: one(4), forgets: one(8), broken: one(2)}
	if l.plan.calm {
		l.plan.broken = false
	}
	l.net = &network{life: l, random: rand.New(rand.NewPCG(seed, 18)), cables: map[*cable]bool{}}
	if !l.plan.calm {
		l.net.rough = []float64{0, 0.1, 0.5}[r.IntN(3)]
	}
	l.collector = &collector{machine: newMachine("collector", seed*8, time.Now), life: l, config: l.storeConfig(), server: serverConfig()}
	for n := range 1 + r.IntN(2) {
		l.workers = append(l.workers, l.newWorker(n))
	}
	l.tell("seed %d: %+v", seed, l.plan)
	return l
}

func (l *life) newWorker(n int) *worker {
	r := l.random
	w := &worker{life: l, random: rand.New(rand.NewPCG(r.Uint64(), 19)), id: model.WorkerIDFrom([16]byte{byte(n + 1)}), books: newBooks()}
	w.machine = newMachine(fmt.Sprintf("host%d", n+1), l.seed*8+1+uint64(n), func() time.Time { return w.clock() })
	w.config = spool.Config{MaxBytes: 4 * model.MiB, MaxAge: 24 * time.Hour, Order: spool.NewestFirst,
		SyncInterval: []time.Duration{time.Second, 4 * time.Second, 10 * time.Second}[r.IntN(3)],
		LiveBacklog:  []model.Bytes{0, 2 * model.KiB, 64 * model.KiB, model.MiB}[r.IntN(4)]}
	if r.IntN(3) == 0 {
		w.config.Order = spool.OldestFirst
	}
	if l.plan.aged {
		w.config.MaxAge = []time.Duration{20 * time.Second, time.Minute, 5 * time.Minute}[r.IntN(3)]
	}
	w.client = stream.DefaultClientConfig()
	w.client.ConnectTimeout, w.client.PingInterval, w.client.IdleTimeout = 3*time.Second, 3*time.Second, 7*time.Second
	w.client.BackoffMin, w.client.BackoffMax, w.client.RefusedRetry = 100*time.Millisecond, 2*time.Second, 3*time.Second
	w.client.Batch = []model.Bytes{4 * model.KiB, 128 * model.KiB}[r.IntN(2)]
	w.client.BackfillRate = []model.Bytes{0, 64 * model.KiB, model.MiB}[r.IntN(3)]
	return w
}

func serverConfig() stream.ServerConfig {
	c := stream.DefaultServerConfig()
	c.HelloTimeout, c.PingInterval, c.IdleTimeout, c.Window = 3*time.Second, 3*time.Second, 7*time.Second, 64*model.KiB
	return c
}

func (l *life) storeConfig() store.Config {
	r, c := l.random, store.DefaultConfig()
	c.Dir, c.MinFree = storeDir, 0
	c.SyncBytes = 64 * model.KiB
	c.SealAfter = []time.Duration{time.Minute, 2 * time.Hour}[r.IntN(2)]
	if l.plan.forgets {
		c.Retention, c.MinuteRetention, c.HourRetention = 2*time.Hour, 0, 0
	}
	if l.plan.limited {
		c.MaxSeries, c.MaxNewSeries = maxSeries, 20*maxSeries
	}
	return c
}

// lead leads the life.
func (l *life) lead() {
	defer l.finish()
	for i := range l.plan.steps {
		l.attend()
		for _, w := range l.workers {
			if w.now == nil {
				continue
			}
			for id := range model.StreamID(l.plan.streams) {
				if l.random.IntN(3) > 0 {
					if err := w.now.sample(id); err != nil {
						l.fail("%s: %v", w.name, err)
						return
					}
				}
			}
		}
		if i > 3 {
			l.deed()
		}
		time.Sleep(l.pause())
		synctest.Wait()
		l.bounded()
		if l.fails > 0 {
			return
		}
	}
	if l.recover() {
		l.judge()
	}
}

func (l *life) pause() time.Duration {
	r := l.random
	switch n := r.IntN(100); {
	case n < 80:
		return time.Duration(10+r.IntN(1500)) * time.Millisecond
	case n < 99:
		return time.Duration(1+r.IntN(8)) * time.Second
	}
	return time.Duration(10+r.IntN(60)) * time.Second
}

// attend notices who is dead, starts who is down, and ends what has lasted for long.
func (l *life) attend() {
	if l.net.down && l.random.IntN(12) == 0 {
		l.tell("network up")
		l.net.set(false, l.net.rough)
	}
	if l.collector.trouble && l.random.IntN(12) == 0 {
		l.collector.heal()
	}
	for _, w := range l.workers {
		if w.trouble && l.random.IntN(12) == 0 {
			w.heal()
		}
		if w.now != nil && w.now.fs.dead.Load() {
			l.tell("%s: was killed", w.name)
			w.now.crash(killed)
		}
		if w.now == nil && l.random.IntN(3) == 0 {
			if err := w.start(); err != nil {
				l.fail("%s: %v", w.name, err)
			}
		}
	}
	if c := l.collector.now; c != nil && c.fs.dead.Load() {
		l.tell("collector: was killed")
		c.crash()
	}
	if l.collector.now == nil && l.random.IntN(3) == 0 {
		l.startCollector()
	}
}

func (l *life) startCollector() {
	if err := l.collector.start(); err != nil {
		l.tell("collector: does not start: %v", err)
		if !l.collector.trouble {
			l.fail("the collector does not start: %v", err)
		}
	}
}

// bounded fails when something takes more memory than it may.
func (l *life) bounded() {
	for _, w := range l.workers {
		if w.now == nil || w.now.fs.dead.Load() {
			continue
		}
		s := w.now.spool.Stats()
		if s.MemoryBytes > 9<<20 || s.Unsynced > 2<<20 || s.DefinitionBytes > 16<<20 {
			l.fail("%s: %d bytes in memory, %d not synced, %d of definitions", w.name, s.MemoryBytes, s.Unsynced, s.DefinitionBytes)
		}
		if most := uint64(w.config.MaxBytes) + 9<<20; s.Bytes > most {
			l.fail("%s: the spool takes %d bytes, at most %d are granted", w.name, s.Bytes, w.config.MaxBytes)
		}
	}
	if c := l.collector.running(); c != nil {
		if s := c.store.Stats(); s.Journal.Unsynced > 9<<20 {
			l.fail("collector: %d bytes are not synced", s.Journal.Unsynced)
		}
	}
}

// recover makes everything well, and waits until all is delivered.
func (l *life) recover() bool {
	l.tell("everything is well from now on")
	l.net.set(false, 0)
	l.collector.heal()
	for _, w := range l.workers {
		w.heal()
		w.config.MaxAge = 24 * time.Hour // of a process that starts from now on
	}
	l.random = rand.New(rand.NewPCG(l.seed, 21))
	up := func() bool {
		for _, w := range l.workers {
			if w.now == nil || w.now.fs.dead.Load() {
				return false
			}
		}
		return l.collector.running() != nil
	}
	for _, w := range l.workers {
		if w.now != nil {
			w.now.fs.left.Store(-1)
		}
	}
	if c := l.collector.now; c != nil {
		c.fs.left.Store(-1)
	}
	for !up() {
		l.attend()
		time.Sleep(time.Second)
		synctest.Wait()
		if l.fails > 0 {
			return false
		}
	}
	for _, w := range l.workers {
		if err := w.now.sample(0); err != nil { // so that the time before it is told of
			l.fail("%s: %v", w.name, err)
		}
	}
	for round := range 2 {
		for wait := 0; !l.delivered(); wait++ {
			if wait > 1200 {
				for _, w := range l.workers {
					l.fail("%s: %+v are not delivered\nlive %+v\nbackfill %+v", w.name, w.now.spool.Stats(), w.now.client.Stats(), "")
				}
				return false
			}
			time.Sleep(time.Second)
			synctest.Wait()
		}
		if round == 0 {
			time.Sleep(80 * time.Second) // for what is told once a minute
		}
	}
	return true
}

func (l *life) delivered() bool {
	for _, w := range l.workers {
		if s := w.now.spool.Stats(); s.Unacked > 0 || s.MemoryRecords > 0 {
			return false
		}
	}
	return true
}

// finish ends all processes, whatever has happened.
func (l *life) finish() {
	l.net.set(true, 0)
	for _, w := range l.workers {
		if w.now != nil {
			if err := w.now.end(); err != nil && l.fails == 0 {
				l.fail("%s: end: %v", w.name, err)
			}
		}
	}
	if c := l.collector.now; c != nil {
		if err := c.end(); err != nil && l.fails == 0 {
			l.fail("collector: end: %v", err)
		}
	}
	l.net.cutAll()
	l.tasks.Wait()
}
