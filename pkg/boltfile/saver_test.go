package boltfile

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// desk is an owner whose writes the test looks at.
type desk struct {
	Saver
	changed chan struct{}
	begin   time.Time

	mu      sync.Mutex
	failing int // writes that still fail
	saved   []write
}

type write struct {
	At  time.Duration
	All bool
	OK  bool
}

func newDesk() *desk {
	d := &desk{changed: make(chan struct{}, 1), begin: time.Now()}
	d.Saver = Saver{Gather: 200 * time.Millisecond, Changed: d.changed, Closed: make(chan struct{}), Save: d.save, Failed: func(error) {}}
	return d
}

func (d *desk) save(all bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	ok := d.failing == 0
	d.saved = append(d.saved, write{time.Since(d.begin), all, ok})
	if !ok {
		d.failing--
		return errors.New("disk full")
	}
	return nil
}

func TestChangesAreGathered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		d, done := newDesk(), make(chan struct{})
		go func() { defer close(done); d.Run(ctx) }()
		time.Sleep(time.Second)
		d.changed <- struct{}{}
		time.Sleep(SlowInterval)
		d.mu.Lock()
		d.failing = 2
		d.mu.Unlock()
		d.changed <- struct{}{}
		time.Sleep(SlowInterval / 2)
		cancel()
		<-done
		want := []write{
			{At: 1200 * time.Millisecond, OK: true},
			{At: SlowInterval, All: true, OK: true},
			{At: SlowInterval + 1200*time.Millisecond},
			{At: SlowInterval + RetryInterval + 1200*time.Millisecond},
			{At: SlowInterval + 2*RetryInterval + 1200*time.Millisecond, OK: true},
		}
		if diff := cmp.Diff(want, d.saved); diff != "" {
			t.Errorf("writes (-want +got):\n%s", diff)
		}
	})
}

func TestSavingEndsWithItsOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, failing := range []int{0, 1000} {
			d, done, closed := newDesk(), make(chan struct{}), make(chan struct{})
			d.failing, d.Closed = failing, closed
			go func() { defer close(done); d.Run(t.Context()) }()
			d.changed <- struct{}{}
			time.Sleep(RetryInterval / 2)
			close(closed)
			<-done
			if len(d.saved) != 1 {
				t.Errorf("%d writes, want 1", len(d.saved))
			}
		}
	})
}
