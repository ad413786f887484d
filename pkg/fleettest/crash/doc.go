// Package crash proves that nothing is lost unseen on the way from a worker's disk to
// the collector's. It holds a test and its harness only.
//
// A seed is a life: one or two workers, each a real spool and a real stream client on a
// disk of its own, and a collector, a real stream server and a real store on another
// disk. Disks are those of package durabletest, connections are net.Pipe, time is
// that of testing/synctest. At random, processes are killed (at any operation on their disk,
// too), the power is cut, processes stop and start in an orderly way, connections are cut
// between messages and within them, acknowledgements go astray, messages come
// twice, disks are full, slow or fail, spools overflow, clocks are set, the
// collector refuses, passes run, and retention takes what is old.
//
// In the end everything is well again and is delivered, and then the books are closed:
//
//   - What a worker was told that it may forget is stored, or in the ledger of gaps.
//   - What is stored is stored once, and is what was measured, to the bit. Queries
//     show exactly that, with the staleness markers that belong there.
//   - What the spools took is stored or counted by the ledger: never less is counted, frame
//     by frame, and sample by sample where the collector knows how many a frame had that it
//     refused. More is counted at most by what the spool dropped before it was told that it
//     had arrived: see TestNothingIsStoredAndCountedAsLost. Without such drops it is the
//     same. What a power cut took is younger than the spool's sync interval, and if the disk
//     was well and the clock was left alone, a gap covers the time.
//   - Nothing is left over: goroutines, open files, mapped files, locks. What is
//     kept in memory stays within its bounds.
//
// A seed that fails is led again, with all that happened, by
//
//	go test ./pkg/fleettest/crash -run TestLives -seed N -v
package crash
