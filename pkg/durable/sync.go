package durable

import "errors"

// round is one sync of the last segment, for all who wait for it.
type round struct {
	done chan struct{}
	err  error // set before done is closed
}

// Sync returns when everything that was appended before the call is on disk. Many
// callers share one sync of the file; appends go on meanwhile. When it fails,
// with ErrFull or ErrDisk, what was not on disk counts as not there: the next
// Append or Sync writes it again, to a new segment.
func (l *Log) Sync() error {
	l.mu.Lock()
	for want := l.next; l.synced < want; l.mu.Lock() {
		r := l.round
		l.mu.Unlock()
		if r == nil {
			if err := l.lead(); err != nil {
				return err
			}
			continue
		}
		if <-r.done; r.err != nil {
			return r.err
		}
	}
	l.mu.Unlock()
	return nil
}

// lead runs a round, if none is running.
func (l *Log) lead() error {
	l.writer.Lock()
	l.mu.Lock()
	running := l.round != nil
	l.mu.Unlock()
	if running {
		l.writer.Unlock()
		return nil
	}
	err := l.usable()
	if err == nil {
		err = l.flush()
	}
	if err != nil {
		l.writer.Unlock()
		return err
	}
	r := &round{done: make(chan struct{})}
	file, path, upTo := l.file, l.last().path, l.written
	l.mu.Lock()
	l.round = r
	through := l.next
	l.mu.Unlock()
	l.writer.Unlock()
	r.err = l.settled(path, upTo, through, file.Sync())
	l.mu.Lock()
	l.round = nil
	l.mu.Unlock()
	close(r.done)
	return r.err
}

// settle waits for the round that is running. None begins while the caller holds
// writer.
func (l *Log) settle() {
	l.mu.Lock()
	r := l.round
	l.mu.Unlock()
	if r != nil {
		<-r.done
	}
}

// commit syncs while the caller holds writer.
func (l *Log) commit() error {
	l.settle()
	if l.synced == l.next {
		return nil
	}
	if l.fresh { // the round that just ended has failed
		return diskError("sync", l.last().path, errors.New("a sync before this one failed"))
	}
	if err := l.flush(); err != nil {
		return err
	}
	return l.settled(l.last().path, l.written, l.next, l.file.Sync())
}

// settled notes the outcome of a sync of everything before offset upTo, and index
// through.
//
// A system that could not write a page may forget that it ever was to be
// written: the next sync succeeds, and the page is not on disk. So after a
// failure nothing more is asked of this file.
func (l *Log) settled(path string, upTo int64, through uint64, err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stats.Syncs++
	if err != nil {
		l.stats.SyncErrors++
		l.fresh = true
		return diskError("sync", path, err)
	}
	l.tail.drop(upTo)
	l.synced = through
	return nil
}

func isFull(err error) bool { return errors.Is(err, ErrFull) }
