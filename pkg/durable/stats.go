package durable

// Stats are figures of a log, for its owner's metrics.
type Stats struct {
	Segments int
	Bytes    int64 // of all segments
	Unsynced int64 // bytes that are not known to be on disk
	Oldest   uint64
	Next     uint64
	Synced   uint64
	// Since the log was opened:
	Syncs       uint64 // of segments, those that failed included
	SyncErrors  uint64
	WriteErrors uint64 // writes, creations and removals that failed
}

// Stats returns the figures as they are now.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.stats
	s.Segments, s.Bytes, s.Unsynced = len(l.segments), l.older, int64(len(l.tail.bytes()))
	if s.Segments > 0 {
		s.Bytes += l.tail.end()
	}
	s.Oldest, s.Next, s.Synced = l.oldestLocked(), l.next, l.synced
	return s
}

// Size is how many bytes all segments have, as Stats says.
func (l *Log) Size() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.older + l.tail.end()
}
