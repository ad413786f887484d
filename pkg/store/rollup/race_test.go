//go:build race

package rollup

const underRace = true
