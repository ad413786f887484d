// Package feed lets samples that come one by one into the store: results of rules, what a
// gateway got, what another Prometheus wrote. They take the way of everybody's frames.
//
// A Feed is a storage.Appendable and acts as a worker whose id is made of its name. It has
// no host: its series bring all labels, instance included.
//
//	Append, Append, ... Commit --> sheets --> frames --> Session --> head, journal
//
// # What is promised
//
//   - A commit is visible to queries when Commit has returned, and durable with the next
//     group commit: Flush waits for it.
//   - What cannot be taken is refused by Append, with an error that errors.Is understands,
//     and counted: times (storage.ErrTooOldSample, storage.ErrOutOfBounds), one series too
//     many (ErrTooManySeries), names (ErrInvalid), histograms (ErrHistogram). The rest of the
//     commit goes on. When Commit fails no series is there that was not before, and normally
//     nothing is stored. But if the disk fails or the process dies in the middle of a commit,
//     or the store's room for names ends there, whole frames of it may be there: all samples
//     that a stream has of one time, or none. It may be sent again.
//   - Every value comes back bit by bit. value.StaleNaN comes back as a staleness marker. One
//     NaN cannot be stored, that of model.Ended: ErrInvalid.
//   - Samples may come in any order within the retention. Of several samples of a series at
//     one time the first counts. Append says storage.ErrDuplicateSampleForTimestamp when
//     another value comes for the newest time of a series; for older times nobody is told. If
//     the feed has forgotten the series in between (it was silent for an hour, or the process is
//     another), one of the two counts, always the same.
//   - Bounded: Options.MaxSeries. A series counts until it was silent for an hour and
//     the feed is tidied.
//
// Exemplars and start timestamps are not stored, and not refused.
//
// # Sheets
//
// Series are put on sheets, which are parts (model.SparseCollector), and these into streams of
// up to 512 series. A stream gets a row at each time for which it has a sample, and
// model.Absent where it has none; so series that come together must be together. New series
// go to a stream that has a row of the same time, if there is room, else to a fresh one.
//
// A part cannot change, and costs memory for as long as its samples are kept. So new series make a
// sheet of their own, behind the others of the stream, and take along those before that are not
// larger: a stream has few sheets, and a series is moved a few times in its life.
//
// Another commit with the same time, as each rule of a group makes one, adds to the row: the
// frame holds what that time has so far, and differs from the one before by what is new. The
// store puts rows of one time together.
//
// # Costs
//
// A series costs some 400 bytes of memory, those of the head and of the dictionary included. A
// commit that changes which series there are costs a schema: some 2 KiB of memory and as much
// disk for as long as the samples are kept.
//
// A sample of 10,000 that come together costs 0.1 us of processor time and 2 bytes in the
// journal; one that is committed alone, as that of a rule, 2 us and some 55 bytes. Sealed, it
// takes what a column takes: 1.5 bytes in blocks of 480 rows, most of them counters
// (BenchmarkFeed). One that is late costs the rest of its row as well when it does not follow
// another that is as late.
package feed
