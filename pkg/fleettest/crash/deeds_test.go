package crash

import (
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/durable/durabletest"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// deed is something that happens.
type deed struct {
	weight int
	rough  bool // not in a calm life
	do     func(*life, *worker)
}

func deeds() []deed {
	return []deed{
		{30, false, func(*life, *worker) {}},
		{6, false, (*life).reshape},
		{3, false, func(_ *life, w *worker) { withProcess(w, func(p *workerProcess) { p.say(w.random.IntN(300)) }) }},
		{10, false, (*life).crowd},
		{4, false, (*life).pass},
		{2, false, (*life).stopWorker},
		{3, true, (*life).killWorker},
		{3, true, (*life).killWorkerSoon},
		{3, true, (*life).cutWorkerPower},
		{3, false, (*life).stopCollector},
		{3, true, (*life).killCollector},
		{5, true, (*life).killCollectorSoon},
		{4, true, (*life).cutCollectorPower},
		{1, true, func(l *life, w *worker) { l.cutWorkerPower(w); l.cutCollectorPower(w) }},
		{4, true, func(l *life, _ *worker) { l.tell("all connections are cut"); l.net.cutAll() }},
		{4, true, (*life).outage},
		{4, false, (*life).harmWorkerDisk},
		{4, false, (*life).harmCollectorDisk},
		{5, false, (*life).mend},
		{2, false, (*life).slow},
		{2, false, (*life).markStale},
		{4, false, (*life).setClock},
		{4, false, (*life).night},
	}
}

// deed does one of them.
func (l *life) deed() {
	all, sum := deeds(), 0
	for _, d := range all {
		sum += d.weight
	}
	n := l.random.IntN(sum)
	for _, d := range all {
		if n -= d.weight; n < 0 {
			w := l.workers[l.random.IntN(len(l.workers))]
			if !d.rough || !l.plan.calm {
				d.do(l, w)
			}
			return
		}
	}
}

func withProcess(w *worker, f func(*workerProcess)) {
	if w.now != nil && !w.now.fs.dead.Load() {
		f(w.now)
	}
}

func (l *life) withCollector(f func(*collectorProcess)) {
	if c := l.collector.running(); c != nil {
		f(c)
	}
}

func (l *life) reshape(w *worker) {
	withProcess(w, func(p *workerProcess) {
		id := model.StreamID(l.random.IntN(l.plan.streams))
		if s := p.streams[id]; s != nil {
			if err := p.reshape(id, s); err != nil {
				l.fail("%s: %v", w.name, err)
			}
		}
	})
}

// crowd fills the spool.
func (l *life) crowd(w *worker) {
	if !l.plan.crowded {
		return
	}
	withProcess(w, func(p *workerProcess) {
		n := 10 + l.random.IntN(60)
		l.tell("%s: %d large events", w.name, n)
		for i := range n {
			p.say(30<<10 + l.random.IntN(30<<10))
			if i%4 == 0 {
				if err := p.sample(model.StreamID(l.random.IntN(l.plan.streams))); err != nil {
					l.fail("%s: %v", w.name, err)
				}
			}
		}
	})
}

func (l *life) pass(*worker) {
	l.withCollector(func(c *collectorProcess) {
		err := c.store.Pass()
		l.tell("collector: pass: %v", err)
		if err != nil && !l.collector.trouble && !c.fs.dead.Load() && time.Since(l.collector.troubled) > time.Second {
			l.fail("pass: %v", err)
		}
	})
}

func (l *life) stopWorker(w *worker) {
	withProcess(w, func(p *workerProcess) {
		err := p.end()
		l.tell("%s: stops: %v", w.name, err)
		if err != nil && !w.trouble {
			l.fail("%s: stop: %v", w.name, err)
		}
	})
}

func (l *life) killWorker(w *worker) {
	withProcess(w, func(p *workerProcess) {
		l.tell("%s: killed", w.name)
		p.crash(killed)
	})
}

func (l *life) killWorkerSoon(w *worker) {
	withProcess(w, func(p *workerProcess) { p.fs.left.Store(1 + l.random.Int64N(40)) })
}

func (l *life) cutWorkerPower(w *worker) {
	l.tell("%s: power cut", w.name)
	if w.now != nil {
		w.now.crash(powerCut)
	}
	w.doubtFormer()
	w.cutPower(l.random.Uint64())
}

func (l *life) stopCollector(*worker) {
	l.withCollector(func(c *collectorProcess) {
		err := c.end()
		l.tell("collector: stops: %v", err)
		if err != nil && !l.collector.trouble {
			l.fail("collector: stop: %v", err)
		}
	})
}

func (l *life) killCollector(*worker) {
	l.withCollector(func(c *collectorProcess) {
		l.tell("collector: killed")
		c.crash()
	})
}

func (l *life) killCollectorSoon(w *worker) {
	l.withCollector(func(c *collectorProcess) {
		c.fs.left.Store(1 + l.random.Int64N(1<<l.random.IntN(8)))
		if l.random.IntN(2) == 0 {
			l.pass(w)
		}
	})
}

func (l *life) cutCollectorPower(*worker) {
	l.tell("collector: power cut")
	if c := l.collector.now; c != nil {
		c.crash()
	}
	l.collector.cutPower(l.random.Uint64())
}

func (l *life) outage(*worker) {
	l.tell("network down")
	l.net.set(true, l.net.rough)
	l.net.cutAll()
}

func (l *life) harmWorkerDisk(w *worker) {
	switch {
	case l.random.IntN(2) == 0:
		room := l.random.Int64N(20 << 10)
		l.tell("%s: disk full but for %d bytes", w.name, room)
		w.full(room)
	case l.plan.broken:
		l.tell("%s: disk fails", w.name)
		w.fail(durabletest.Faults{Write: 0.05, Sync: 0.2, Name: 0.05, SyncFolder: 0.1, Truncate: 0.05})
	}
}

func (l *life) harmCollectorDisk(*worker) {
	switch {
	case l.random.IntN(2) == 0:
		room := l.random.Int64N(20 << 10)
		l.tell("collector: disk full but for %d bytes", room)
		l.collector.full(room)
	case l.plan.broken:
		l.tell("collector: disk fails")
		l.collector.fail(durabletest.Faults{Write: 0.05, Sync: 0.2, Name: 0.05, SyncFolder: 0.1, Truncate: 0.05})
	}
}

func (l *life) mend(w *worker) {
	l.collector.heal()
	w.heal()
}

func (l *life) slow(w *worker) {
	withProcess(w, func(p *workerProcess) { p.fs.lag.Store(l.random.Int64N(50)) })
	l.withCollector(func(c *collectorProcess) { c.fs.lag.Store(l.random.Int64N(50)) })
}

func (l *life) markStale(w *worker) {
	l.withCollector(func(c *collectorProcess) {
		at := time.Now().UnixMilli() | 1
		l.tell("%s: marked stale at %d: %v", w.name, at, c.store.MarkStale(w.id, time.UnixMilli(at)))
	})
}

func (l *life) setClock(w *worker) {
	if !l.plan.clocks {
		return
	}
	all := []time.Duration{0, 0, 3 * time.Second, -3 * time.Second, 30 * time.Minute, -30 * time.Minute, 2 * time.Hour}
	offset := all[l.random.IntN(len(all))]
	w.offset.Store(int64(offset))
	l.tell("%s: clock is off by %v", w.name, offset)
}

// night: everything is off for hours, and what was left behind may be too old in the morning.
func (l *life) night(*worker) {
	if !l.plan.forgets {
		return
	}
	for _, w := range l.workers {
		if l.plan.calm || l.random.IntN(2) == 0 {
			l.stopWorker(w)
		} else {
			l.killWorker(w)
		}
	}
	l.stopCollector(nil)
	d := time.Duration(10+l.random.IntN(80)) * time.Minute
	l.tell("everything is off for %v", d)
	time.Sleep(d)
}
