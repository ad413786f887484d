//go:build !race

package rollup

const underRace = false
