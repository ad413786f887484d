package spool

import "fmt"

func (l *life) dump(why string) {
	for _, b := range l.spool.boots {
		s := fmt.Sprintf("%s: boot %d %v next %d runs %v done %v lost %v", why, b.number, b.start.id, b.next, b.runs, b.done, b.lost)
		l.tell("%s", s)
	}
	l.tell("oldest %d floor %d pending %d", func() uint64 {
		if l.spool.records == nil {
			return 0
		}
		return l.spool.records.Oldest()
	}(), l.spool.floor, len(l.spool.pending.items))
}
