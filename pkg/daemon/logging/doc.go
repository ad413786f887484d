// Package logging makes the root logger of a daemon: records go to the systemd
// journal with a field for every attribute when the process runs under it, and
// to standard error as readable text or JSON otherwise. Whatever the target, a
// message that repeats is bounded in rate, so that engines may log one line
// for every bad packet without a stranger being able to fill the disk.
package logging
