// Package rollup keeps of every minute and of every hour what queries over long
// ranges need of it, and gives it back so that PromQL's answers stay the same.
package rollup
