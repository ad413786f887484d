package crash

import "testing"

// strict is something that a life is not measured by as a rule, because it is known to fail.
type strict string

const (
	everyTimeCovered strict = "everyTimeCovered"
	nothingTwice     strict = "nothingTwice"
)

// TestNothingIsStoredAndCountedAsLost: a spool that drops records before it was told that they
// have arrived counts them as lost, and they are stored. They may be under way, the
// acknowledgement may have been lost with its connection, or the note of it with the
// process: the cursor is written every 30 s. So the ledger may say too much, and never
// too little. In three of ten lives it does, as these kill, cut and overflow all the time.
//
// The collector cannot take it off: what a session passes over counts as received as what
// is stored does, so its coverage does not tell which of the lost it has.
func TestNothingIsStoredAndCountedAsLost(t *testing.T) {
	t.Skip("the ledger counts what had arrived when the spool was not told so in time")
	lead(t, 0, false, nothingTwice)
}

// TestEveryTimeWithoutFramesIsCoveredHoweverTheDiskWas: a process that begins on a full disk keeps
// its frames in memory. When there is room it opens its folder, and the event that tells
// of the time before it is put behind those frames. If the disk is full again before the
// event is written, and the process is killed, the next one finds the frames and begins its
// own gap with them: nothing tells of the time before.
func TestEveryTimeWithoutFramesIsCoveredHoweverTheDiskWas(t *testing.T) {
	t.Skip("the gap event goes behind the frames that are in memory, and may go with the process")
	lead(t, 192, false, everyTimeCovered)
}
