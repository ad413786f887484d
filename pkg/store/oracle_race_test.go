//go:build race

package store_test

// underRace says that everything takes ten times as long.
const underRace = true
