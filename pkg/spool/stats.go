package spool

import "time"

// Stats are the figures of a Spool at one moment. Counters begin with zero at
// every start.
type Stats struct {
	Records         uint64 // held now, definitions and context included
	Bytes           uint64 // memory that they take
	MaxBytes        uint64
	DefinitionBytes uint64        // the part of Bytes that parts and schemas take
	Groups          uint64        // held now, events included
	Unacked         uint64        // records held now that the collector does not have yet
	UnackedAge      time.Duration // age of the oldest of them; 0 if there is none
	First, Next     uint64        // as Range gives them
	AckedSeq        uint64        // everything up to it is the collector's

	Appended      uint64 // records, counter
	AppendedBytes uint64 // encoded, counter
	Refused       uint64 // calls of Append that ended in another error than ErrKeyNeeded, counter

	// Records lost before the collector had them, counters. Each of them leaves
	// a hole in the sequence.
	DroppedFull    Loss   // MaxBytes
	DroppedOld     Loss   // MaxAge
	DroppedKeyless uint64 // delta frames after their open group was dropped
}

// Stats returns the present figures.
func (s *Spool) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := s.stats
	stats.Records = uint64(s.records.count())
	stats.Bytes = s.records.bytes
	stats.MaxBytes = uint64(s.config.MaxBytes)
	stats.Groups = uint64(len(s.groups))
	stats.First, stats.Next, stats.AckedSeq = s.next, s.next, s.acked
	if oldest := s.records.first(0); oldest != nil {
		stats.First = oldest.seq
	}
	if oldest := s.records.first(s.acked); oldest != nil {
		stats.UnackedAge = s.now().Sub(oldest.at)
	}
	return stats
}
