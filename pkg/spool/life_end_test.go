package spool

import (
	"slices"
	"strings"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/durable/durabletest"
	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// end ends the process in one of several ways, and starts another one.
func (l *life) end() {
	l.note()
	l.findReports()
	if l.spool.unsure {
		l.doubt()
	}
	boot, former := l.spool.Boot(), l.spool
	l.vague[boot] = l.faulty || l.spool.told != "" || l.spool.records == nil || len(l.spool.pending.items) > 0 || !l.spool.pending.losses.empty()
	l.spool.writer.Lock()
	noted := l.calm && l.spool.records != nil && l.spool.saveCursor(true) == nil
	l.spool.writer.Unlock()
	switch n := l.random.IntN(3); {
	case n == 0:
		err := l.spool.Close()
		l.tell("closed: %v", err)
		if err != nil && !l.faulty {
			fail("close: %v", err)
		}
	case n == 1:
		l.tell("killed")
	default:
		l.tell("power cut")
		l.disk = l.disk.Cut(l.random.Uint64())
		l.disk.SetClock(func() time.Time { return l.now })
		l.faulty = false
	}
	l.disk.Kill()
	l.doubtful = l.doubtful || !noted || l.faulty
	power, ended := l.story[len(l.story)-1] == "power cut", l.now
	l.now = l.now.Add(time.Duration(l.random.IntN(20)) * time.Second)
	if l.damage && l.random.IntN(3) == 0 {
		if l.flip(0) { // the end of a log that is damaged looks like a power cut
			power = true
			l.doubt()
		}
	}
	before := l.reports
	l.begin()
	l.findReports()
	for _, r := range before { // what a gap event says is not told a second time
		same := func(now stretchOf) bool { return now.index == r.index }
		if l.spool.records != nil && r.index >= l.spool.records.Oldest() && !slices.ContainsFunc(l.reports, same) {
			l.vague[r.boot] = true
		}
	}
	l.excuse(boot, former, power, ended)
}

// doubt notes that what was told of losses so far may have been told, and be forgotten.
func (l *life) doubt() {
	for b := range l.known {
		if len(b.lost) > 0 {
			l.vague[b.start.id] = true
		}
	}
}

// excuse works out which frames of the former process were never on disk, and whether
// they may be missing.
func (l *life) excuse(boot model.BootID, before *Spool, power bool, ended time.Time) {
	there := map[uint64]bool{}
	l.spool.mu.Lock()
	defer l.spool.mu.Unlock()
	highest := uint64(0)
	for _, b := range l.spool.boots {
		if b.start.id == boot {
			for _, r := range b.runs {
				for seq := r.seq; seq < r.seq+r.n; seq++ {
					there[seq] = true
				}
				highest = r.seq + r.n - 1
			}
		}
	}
	for at, frame := range l.from.said {
		if at.boot != boot || there[at.seq] || at.seq <= highest || before.cur.done.has(at.seq) || l.lost[at] {
			continue
		}
		if _, arrived := l.to.rows[at]; arrived {
			continue
		}
		switch {
		case l.vague[boot] || l.spool.records == nil:
		case !power:
			fail("frame %d of %v, which the disk had taken, is gone after a kill; the highest is %d", at.seq, boot, highest)
		case !l.damage && ended.Sub(frame.at) > l.config.SyncInterval+700*time.Second: // the clock leaps between two calls of tend
			fail("frame %d of %v, %v old, is gone after a power cut", at.seq, boot, ended.Sub(frame.at))
		}
		l.excused[at] = true
	}
}

func (l *life) trouble() {
	switch l.random.IntN(5) {
	case 0:
		l.disk.SetFaults(durabletest.Faults{Write: 0.1, Sync: 0.2, Name: 0.1, SyncFolder: 0.1})
		l.faulty = true
		l.tell("the disk fails now and then")
	case 1:
		l.disk.SetRoom(int64(l.random.IntN(3000)))
		l.faulty = true
		l.tell("the disk is nearly full")
	case 2:
		l.disk.SetFaults(durabletest.Faults{Sync: 1})
		l.faulty = true
		l.tell("no sync succeeds")
	default:
		l.disk.SetFaults(durabletest.Faults{})
		l.disk.SetRoom(1 << 40)
		l.faulty = false
		l.tell("the disk works")
	}
}

// flip damages a byte of a file of records, of any but the last so many.
func (l *life) flip(last int) (tail bool) {
	var names []string
	folder := recordsFolder
	if l.random.IntN(4) == 0 {
		folder = definitionsFolder
	}
	for _, name := range l.disk.Names() {
		if strings.HasPrefix(name, lifeDir+"/"+folder) && strings.HasSuffix(name, ".log") {
			names = append(names, name)
		}
	}
	if len(names) <= last {
		return false
	}
	name := names[l.random.IntN(len(names)-last)]
	content, _ := l.disk.Content(name)
	if len(content) < 200 {
		return false
	}
	at := 64 + l.random.IntN(len(content)-64)
	for _, r := range l.reports {
		if r.file == name && r.from <= at && at < r.to {
			return false // what a gap event says is not told a second time
		}
	}
	content[at] ^= 1 << l.random.IntN(8)
	l.disk.SetContent(name, content)
	l.tell("byte %d of %s is damaged", at, name)
	return name == names[len(names)-1]
}

// stretchOf is where the event about a loss is in a file.
type stretchOf struct {
	file     string
	from, to int
	index    uint64
	boot     model.BootID // of the loss
}

// findReports notes where the events about losses are.
func (l *life) findReports() {
	if l.spool.records == nil {
		return
	}
	l.reports = nil
	r := l.spool.records.Read(0)
	defer r.Close()
	for {
		for r.Next() {
			found := r.Record()
			if e, err := parseEntry(found.Data); err == nil && e.kind == kindLoss {
				file, _, _ := strings.Cut(found.At.String(), ":")
				record, _, _ := frame.ParseRecord(e.raw)
				gap, _ := gapIn(record.Payload)
				l.reports = append(l.reports, stretchOf{lifeDir + "/" + recordsFolder + "/" + file, int(found.At.Offset), int(found.At.Offset) + 12 + len(found.Data), found.Index, gap.Boot})
			}
		}
		if r.Err() == nil {
			return
		}
		r.Resume()
	}
}

// check compares the spool's figures with each other.
func check(s *Spool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var bytes uint64
	for i, it := range s.pending.items {
		bytes += it.cost()
		if i > 0 && it.seq <= s.pending.items[i-1].seq {
			fail("record %d waits behind %d", it.seq, s.pending.items[i-1].seq)
		}
	}
	if bytes != s.pending.bytes || bytes > uint64(s.limits.memory)+4096 {
		fail("%d bytes in memory, the spool says %d", bytes, s.pending.bytes)
	}
	if s.records != nil && s.records.Size() > int64(s.config.MaxBytes)+2*int64(s.limits.memory)+8192 {
		fail("%d bytes on disk of at most %d", s.records.Size(), s.config.MaxBytes)
	}
	var defined uint64
	for _, c := range s.defs.contents {
		defined += uint64(len(c.payload)) + overhead
	}
	if defined != s.defs.bytes {
		fail("definitions take %d bytes, the spool says %d", defined, s.defs.bytes)
	}
	for _, b := range s.boots {
		for i, r := range b.runs {
			if i > 0 && (r.seq < b.runs[i-1].seq+b.runs[i-1].n || r.index < b.runs[i-1].index+b.runs[i-1].n) {
				fail("run of %d behind %+v", r.seq, b.runs[i-1])
			}
		}
	}
}
