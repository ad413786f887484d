//go:build race

package block

const underRace = true
