// Package selfmetrics turns the figures that several daemons have in common
// into metrics: those of the process and of the ports that hear datagrams. What
// only one daemon has is listed in that daemon's own package.
package selfmetrics
