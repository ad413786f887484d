// Package model is the vocabulary that every other package speaks: who a
// worker is, what a host announces, what a series is called, and which states
// exist. It holds values and their text forms only: no I/O, no clock, no
// randomness, no goroutine, and nothing of ours imported.
package model
