// Package audit keeps the log of who did what, and from where. It promises that
// once Append has returned nil the entry is on disk, that an entry is one line
// whatever its values hold, and that no line is changed or removed but with the
// oldest file as a whole.
//
// The log is a file of JSON lines, docs/formats/audit.md. When it has reached its
// size it becomes NAME.1, the former NAME.1 becomes NAME.2 and so on. Whoever does
// something that is to be logged appends first and then answers; if the entry
// cannot be written, what it would tell of should not be done.
//
// What strangers can cause (failed logins, refused requests) could fill the disk,
// or push out of the log what its owner wants to read. So only the first ones of a
// source are written each by itself, the others are counted and become one entry,
// "n more"; and all sources together have a budget. Those counts are in memory
// until their time is over, and a crash loses them.
package audit
