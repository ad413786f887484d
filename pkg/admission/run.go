package admission

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/boltfile"
	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust/token"
)

const (
	saveBatch     = 4096                   // members written in one transaction
	saveDelay     = 200 * time.Millisecond // for which changes that nobody waits for are gathered
	pruneInterval = time.Hour
	lockTimeout   = 5 * time.Second // to wait for a predecessor that ends
	newcomerRate  = 10              // machines in a second that begin to wait, at about 10 ms of a processor each
	newcomerBurst = 32
	longestSleep  = time.Hour
)

// Run writes what nobody waits for, lets in processes that have waited for long
// enough, and forgets old tokens, until ctx ends or the desk is closed; then it
// returns nil. Only one Run at a time.
func (d *Desk) Run(ctx context.Context) error {
	d.mu.Lock()
	switch {
	case d.isClosed:
		d.mu.Unlock()
		return ErrClosed
	case d.isRunning:
		d.mu.Unlock()
		return errors.New("admission is already running")
	}
	d.isRunning = true
	d.runs.Add(1)
	d.mu.Unlock()

	saver := boltfile.Saver{Gather: saveDelay, Changed: d.unsaved, Closed: d.closed, Save: d.save,
		Failed: func(err error) { d.log.Error("admission not saved, will try again", logkey.Err, err) }}
	var saving sync.WaitGroup
	saving.Go(func() { saver.Run(ctx) })
	d.letInUntil(ctx)
	saving.Wait()

	d.mu.Lock()
	d.isRunning = false
	d.mu.Unlock()
	d.runs.Done()
	return nil
}

func (d *Desk) letInUntil(ctx context.Context) {
	timer, prune := time.NewTimer(0), time.NewTicker(pruneInterval)
	defer timer.Stop()
	defer prune.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.closed:
			return
		case <-prune.C:
			d.prune()
		case <-d.wake:
		case <-timer.C:
		}
		wait, ok := d.letIn()
		if !ok {
			wait = longestSleep
		}
		timer.Reset(min(wait, longestSleep))
	}
}

// prune forgets what is of no use any more.
func (d *Desk) prune() {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	for id, record := range d.tokens {
		if now.Sub(record.Expires) > keepTokens || record.Revoked != nil && now.Sub(*record.Revoked) > keepTokens {
			d.dropTokenLocked(id)
		}
	}
	if len(d.dirty.goneTokens) > 0 {
		signal(d.unsaved)
	}
	for family, times := range d.families {
		times = slices.DeleteFunc(times, func(at time.Time) bool { return now.Sub(at) >= cloneSpan })
		if d.families[family] = times; len(times) == 0 {
			delete(d.families, family)
		}
	}
}

// dirt is what is not on disk yet.
type dirt struct {
	members     map[*member]struct{}
	goneMembers map[model.WorkerID]struct{}
	tokens      map[token.ID]struct{}
	goneTokens  map[token.ID]struct{}
	uses        []tokenUse
	pending     map[*applicant]struct{} // anybody can cause these: written slowly
	gonePending map[keyBytes]struct{}   // likewise
}

func newDirt() dirt {
	return dirt{members: make(map[*member]struct{}), goneMembers: make(map[model.WorkerID]struct{}),
		tokens: make(map[token.ID]struct{}), goneTokens: make(map[token.ID]struct{}),
		pending: make(map[*applicant]struct{}), gonePending: make(map[keyBytes]struct{})}
}

func (d *Desk) unsavedLocked() int {
	n := &d.dirty
	return len(n.members) + len(n.goneMembers) + len(n.tokens) + len(n.goneTokens) + len(n.uses) + len(n.pending) + len(n.gonePending)
}

// saveLocked marks m to be written soon.
func (d *Desk) saveLocked(m *member) {
	d.dirty.members[m] = struct{}{}
	signal(d.unsaved)
}

// save returns when all that was changed before the call is on disk; others says
// whether that includes those who wait for approval. Whoever comes while another
// one writes finds his changes written, too, or writes those of all who came
// meanwhile. What a failed transaction held is dirty again.
func (d *Desk) save(others bool) error {
	d.saving.Lock()
	defer d.saving.Unlock()
	for {
		c, more := d.takeUnsaved(others)
		if c.empty() {
			return nil
		}
		err := d.disk.Update(c.write)
		d.mu.Lock()
		if err != nil {
			d.stats.WriteErrors++
			d.giveBackLocked(&c)
		} else {
			d.stats.Writes++
			for _, m := range c.from {
				m.onDisk = true
			}
		}
		d.mu.Unlock()
		if err != nil || !more {
			return err
		}
	}
}

// takeUnsaved collects the content of one transaction. What is removed goes with
// the first one, before anything is written: an id may have come back since. more
// says that something is left for another one.
func (d *Desk) takeUnsaved(others bool) (c changes, more bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := &d.dirty
	for id := range n.goneMembers {
		c.goneMembers = append(c.goneMembers, id)
	}
	for id := range n.goneTokens {
		c.goneTokens = append(c.goneTokens, id)
	}
	for id := range n.tokens {
		c.tokens = append(c.tokens, d.tokens[id])
	}
	c.uses, n.uses = n.uses, nil
	clear(n.goneMembers)
	clear(n.goneTokens)
	clear(n.tokens)
	for m := range n.members {
		if len(c.members) == saveBatch {
			more = true
			break
		}
		delete(n.members, m)
		c.from = append(c.from, m)
		c.members = append(c.members, storedMemberOf(m))
	}
	if !others {
		return c, more
	}
	for key := range n.gonePending {
		c.gonePending = append(c.gonePending, key)
	}
	for a := range n.pending {
		a.onDisk = true // already, for a removal that comes before it is written
		c.applicants = append(c.applicants, a)
		c.pending = append(c.pending, a.Pending)
	}
	clear(n.gonePending)
	clear(n.pending)
	return c, more
}

func (d *Desk) giveBackLocked(c *changes) {
	n := &d.dirty
	for _, m := range c.from {
		if d.members[m.ID] == m {
			n.members[m] = struct{}{}
		}
	}
	for _, id := range c.goneMembers {
		n.goneMembers[id] = struct{}{}
	}
	for _, record := range c.tokens {
		if _, still := d.tokens[record.ID]; still {
			n.tokens[record.ID] = struct{}{}
		}
	}
	for _, id := range c.goneTokens {
		n.goneTokens[id] = struct{}{}
	}
	for _, use := range c.uses {
		if _, still := d.tokens[use.token]; still {
			n.uses = append(n.uses, use)
		}
	}
	for _, a := range c.applicants {
		if d.book.byKey[a.key] == a {
			n.pending[a] = struct{}{}
		}
	}
	for _, key := range c.gonePending {
		n.gonePending[key] = struct{}{}
	}
}

// signal raises a flag of capacity one.
func signal(flag chan struct{}) {
	select {
	case flag <- struct{}{}:
	default:
	}
}
