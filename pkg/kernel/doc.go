// Package kernel reads what the Linux kernel says about itself in /proc and
// /sys, under roots that the caller gives.
//
// Opening and parsing are separate: a File fetches bytes, a Parse function
// turns bytes into values and touches nothing else, so every format is tested
// and fuzzed without a kernel. Both are made for being called every second:
//
//   - A File stays open and is read with pread from offset 0, which makes the
//     kernel produce fresh content. It is opened again when reading fails, for
//     instance because its device was unplugged and came back.
//   - Parsers fill structures of the caller and return names as slices of their
//     input, so that a round that finds what the last one found allocates
//     nothing.
//
// A value is an integer in the kernel's own unit (ticks, sectors, kilobytes,
// microseconds); scaling it is up to the caller. Every parser cites the kernel
// function that prints its input.
//
// Nothing here may be called concurrently on one object. Reading /proc and /sys
// does not block; Statfs may block for ever on a dead network mount.
package kernel
