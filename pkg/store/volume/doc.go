// Package volume keeps sealed blocks in files: one pass over the journal makes
// one immutable file with the blocks of many lanes, and a Set is a folder of them.
//
// It promises:
//
//   - A volume is there wholly or not at all. What Commit returned is there after
//     a power cut.
//   - A volume stands alone: it also holds the parts, schemas, sources and
//     spans that its blocks need, so that a dictionary can be rebuilt from volumes,
//     and a volume can be taken to another store.
//   - Nothing is kept on the heap for a block. Files are mapped; opening one touches
//     its first and its last page.
//   - Every byte is under a checksum. Damage is found when what it hit is read,
//     reported with file and offset, and costs no more than that: everything that
//     is needed to find a block is written twice. Nothing is deleted for it.
//   - A disk that cannot read a mapped page makes an error, not a crash (Guard).
//
// # Files
//
//	00000017.raw          volume 17, of rows as they were sampled
//	00000018.1m           volume 18, of rows that sum up a minute; .1h: an hour
//	00000019.raw.new      one that is being made; removed at the next start
//	00000016.raw.damaged  one of which nothing could be found any more
//
// Numbers rise and count all tiers together. No number is given out twice by a
// Set; who remembers numbers of volumes that may never have come to be
// calls Set.Reserve.
//
// # Bytes
//
// Everything is little-endian, all checksums are CRC-32C. docs/formats/volume.md
// says the same at greater length, with an example.
//
//	volume  header | item ... | end | index | table | footer
//	header  "CLDLSVOL" | version 4 | CRC of these 12 | number 8 | created 8 | tier 1 | 000000 | CRC of all 40
//	item    head, 64 | block, or definitions of one kind | CRC of definitions
//	head    worker 16 | labels 8 | stream 4 | rows 4 | first 8 | last 8 | offset 6 | size 4 | flags 1 | kind 1 | CRC
//	index   the heads of all blocks once more, sorted by (worker, labels, stream, first)
//	table   page ... | definitions ...
//	page    worker 16 | labels 8 | stream 4 | first 8 | CRC     of each 64 heads of the index, and of the first of them
//	footer  what holds for the volume as a whole | CRC | version 4 | CRC | "CLDLSEND"
//
// Finding a block is two binary searches, in the table and in a page of the
// index: pages are checked when they are used first, heads always. The heads
// in front of the blocks are read only when a page, the table or the footer is
// damaged: the index is then made anew, in memory.
//
// # Lifetimes
//
// Files are counted by their users: the Set, Views, and who calls Acquire. A file that
// is removed is unlinked at once, and unmapped when the last of them has let it go.
// Blocks alias the mapping, so they are valid just as long.
//
// # Goroutines and locks
//
// The package starts no goroutine. A Set, Views and Files may be used by any number of
// them at once, a Writer by one. Finding takes no lock.
package volume
