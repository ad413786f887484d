// Package ctl is cloudlessctl, the operator's command line: one file per verb,
// one line per verb in the table of verbs.go. Verbs print what was asked for to
// standard output and everything else to standard error.
package ctl
