package store

import (
	"syscall"
	"testing"
)

// TestWhatAStartCouldNotPlaceIsStoredOnce: frames are in the journal and the names of their
// series are lost, as after a power cut. They come again, with the names: the next start
// must not place the old copies besides.
func TestWhatAStartCouldNotPlaceIsStoredOnce(t *testing.T) {
	d := newDisk(1)
	config, deps := on(d)
	config.SyncInterval = maxSyncInterval // so that none comes in between
	first, err := Open(config, deps)
	if err != nil {
		t.Fatal(err)
	}
	session := openSession(t, first, testSource(1, 1))
	sp := newSpooler(t)
	sp.schema(2, gauge("h", "a"))
	sp.frame(2, after(0), 7) // so that who sends is known
	send(t, session, sp.drain()...)
	if err := first.flush(); err != nil {
		t.Fatal(err)
	}
	durable := sp.seq
	sp.schema(1, gauge("g", "a"))
	for i := range 3 {
		sp.frame(1, after(i), float64(i))
	}
	history := sp.drain()
	d.stopIn(schemasName, 0, syscall.EIO)
	send(t, session, history...)
	if err := first.journal.Sync(); err != nil {
		t.Fatal(err)
	}
	d.Kill()
	killed := d.Disk
	d.stopAfter(0, syscall.EIO)
	_ = first.Close()

	d = diskOf(killed)
	deps.FS = d
	second, err := Open(config, deps)
	if err != nil {
		t.Fatal(err)
	}
	session = openSession(t, second, testSource(1, 1))
	if got := session.Resume(); got < durable || got >= sp.seq-2 {
		t.Fatalf("resume is %d, want %d or a little more", got, durable)
	}
	send(t, session, history...)
	awaitDurable(t, session, sp.seq)
	closeStore(t, second)

	third := openOn(t, d)
	wantSeries(t, third, "g", "a", points(0, 0, 1, 2)...)
	pass(t, third)
	if rows := third.Stats().SealedRows; rows > 4 {
		t.Errorf("%d rows are sealed, want 4 at most", rows)
	}
	wantSeries(t, third, "g", "a", points(0, 0, 1, 2)...)
}
