package store_test

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store"
)

// bytesChooser chooses by bytes, and when there are none left as a generator does that is
// seeded with them.
type bytesChooser struct {
	left   []byte
	behind *rand.Rand
}

func newBytesChooser(b []byte) *bytesChooser {
	h := fnv.New64()
	_, _ = h.Write(b)
	return &bytesChooser{b, rand.New(rand.NewPCG(h.Sum64(), 3))}
}

// IntN implements chooser.
func (c *bytesChooser) IntN(n int) int {
	if len(c.left) == 0 || n > 256 {
		return c.behind.IntN(n)
	}
	b := c.left[0]
	c.left = c.left[1:]
	return int(b) % n
}

// random makes expressions and times. Selectors are about what few hosts of any fleet have.
type random struct {
	chooser
	from, to model.Millis
}

func (r random) selector() string {
	name := one(r.chooser, "node_cpu_seconds_total", "node_load1", "node_memory_MemFree_bytes", "node_network_receive_bytes_total", "node_hwmon_temp_celsius",
		"container_cpu_usage_seconds_total", "node_disk_io_time_seconds_total", "node_pressure_cpu_waiting_seconds_total", "up", "node_filesystem_avail_bytes", "instance:load:avg")
	switch r.IntN(6) {
	case 0:
		return fmt.Sprintf(`{__name__=~"%s"}`, one(r.chooser, ".+", "node_load.*", "node_(load5|network_up|forks_total)", "container.*", ".*_bytes"))
	case 1:
		return fmt.Sprintf(`%s{instance%s"%s"}`, name, one(r.chooser, "=", "!=", "=~", "!~"), one(r.chooser, "host00", "host01", "host0.", "renamed.*", ""))
	case 2:
		return fmt.Sprintf(`{%s,instance!="host02"}`, one(r.chooser, `device="eth0"`, `mode=~"idle|user"`, `id!=""`, `cpu="0"`, `mountpoint=~"/.*"`))
	}
	return name
}

func (r random) duration() string {
	return one(r.chooser, "1m", "2m", "5m", "10m", "1h", "90s", "30s", "7m", fmt.Sprint(1+r.IntN(4000), "s"))
}

func (r random) shift() string {
	switch r.IntN(8) {
	case 0:
		return " offset " + r.duration()
	case 1:
		return " offset -" + r.duration()
	case 2:
		return fmt.Sprintf(" @ %d.%03d", r.at()/1000, one(r.chooser, 0, r.IntN(1000)))
	case 3:
		return one(r.chooser, " @ start()", " @ end()")
	}
	return ""
}

// at is a time about those of the samples: of an hour, a minute, a second, or any.
func (r random) at() model.Millis {
	t := r.from - 6*minute + model.Millis(r.IntN(int(r.to-r.from+12*minute)))
	return t - t%one(r.chooser, hour, minute, minute, second, 1)
}

// vector is an expression with an instant vector as its result.
func (r random) vector(depth int) string {
	if depth == 0 || in(r.chooser, 4) {
		if in(r.chooser, 3) {
			return r.selector() + r.shift()
		}
		return r.ranged(r.selector())
	}
	v := r.vector(depth - 1)
	switch r.IntN(8) {
	case 0:
		return fmt.Sprintf("%s by (%s) (%s)", one(r.chooser, "sum", "avg", "min", "max", "count", "group", "stddev"), one(r.chooser, "instance", "__name__", "device", "instance, mode", ""), v)
	case 1:
		return fmt.Sprintf("%s without (%s) (%s)", one(r.chooser, "sum", "avg", "min", "max", "count"), one(r.chooser, "instance", "device, mode", "cpu"), v)
	case 2:
		// Of equal values the order decides, which not all functions keep.
		return fmt.Sprintf("%s(%d, %s)", one(r.chooser, "topk", "bottomk", "limitk", "quantile"), 1+r.IntN(4), r.ranged(r.selector()))
	case 3:
		return fmt.Sprintf("%s(%s)", one(r.chooser, "timestamp", "abs", "absent", "sort", "sgn", "round", "-", "vector(1) or ", "sort_desc", "ceil"), v)
	case 4:
		return fmt.Sprintf("(%s) %s %d", v, one(r.chooser, ">", "<=", "== bool", "*", "%", "- "), r.IntN(1000))
	case 5:
		return fmt.Sprintf("(%s) %s (%s)", v, one(r.chooser, "and on (instance)", "unless on (instance)", "or on (instance)"), r.vector(0))
	case 6:
		return fmt.Sprintf("%s((%s)[%s:%s]%s)", one(r.chooser, "max_over_time", "rate", "last_over_time", "sum_over_time", "changes", "deriv"), v,
			one(r.chooser, "5m", "10m", "1h", "100s"), one(r.chooser, "", "1m", "30s", "77s"), r.shift())
	}
	return fmt.Sprintf("label_replace(%s, \"x\", \"$1\", \"instance\", \"host(.*)\")", v)
}

func (r random) ranged(selector string) string {
	f := one(r.chooser, "rate", "increase", "irate", "delta", "idelta", "deriv", "changes", "resets", "avg_over_time", "min_over_time", "max_over_time", "sum_over_time", "count_over_time",
		"last_over_time", "first_over_time", "present_over_time", "absent_over_time", "stddev_over_time", "mad_over_time", "ts_of_last_over_time", "quantile_over_time(0.7, ", "predict_linear")
	switch {
	case f == "predict_linear":
		return fmt.Sprintf("predict_linear(%s[%s]%s, 600)", selector, r.duration(), r.shift())
	case f[len(f)-1] == ' ':
		return fmt.Sprintf("%s%s[%s]%s)", f, selector, r.duration(), r.shift())
	}
	return fmt.Sprintf("%s(%s[%s]%s)", f, selector, r.duration(), r.shift())
}

func (r random) question() question {
	q := question{expr: r.vector(r.IntN(3)), from: r.at()}
	if in(r.chooser, 2) {
		q.step = one(r.chooser, 15*second, 30*second, minute, minute, 5*minute, hour, 77*second, 1+model.Millis(r.IntN(1_000_000)))
		q.to = q.from + min(q.step*model.Millis(r.IntN(one(r.chooser, 40, 40, 300))), r.to-r.from+10*minute)
	}
	return q
}

// askAround makes a random fleet and asks random questions.
func askAround(tb testing.TB, c chooser, questions int) {
	tb.Helper()
	d := newDriver(tb, func(config *store.Config) {
		if in(c, 4) {
			config.MinuteRetention = 0 // no rollups of minutes
		}
	})
	span := one(c, 10*minute, 30*minute, 2*hour, 5*hour, 30*hour)
	f := fleet{hosts: 1 + c.IntN(3), from: now() - span, to: now(), least: minute, changes: one(c, 20, 60, 1000), passes: one(c, 0, 10, 40)}
	if span > 10*hour {
		f.hosts, f.slower, f.calm = 1, 4, in(c, 2)
	}
	f.generate(d, c)
	o := newOracle(tb, d)
	r := random{c, f.from, f.to}
	o.samples("as it came")
	for i := range questions {
		switch {
		case i == questions/3:
			d.pass()
		case i == 2*questions/3 && in(c, 2):
			d.reopen()
		}
		q := r.question()
		o.compare("random", q)
	}
	d.pass()
	o.samples("sealed")
}

// TestOracleOfAnything asks random questions of random fleets.
func TestOracleOfAnything(t *testing.T) {
	t.Parallel()
	worlds := uint64(8)
	switch {
	case *more:
		worlds = 600
	case underRace:
		worlds = 3
	}
	for seed := range worlds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { askAround(t, rand.New(rand.NewPCG(seed, 21)), 60) })
	}
}

func FuzzOracle(f *testing.F) {
	for seed := range byte(3) { // they are run as tests, too
		b := make([]byte, 40)
		for i := range b {
			b[i] = byte(i*7) * seed
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, choices []byte) { askAround(t, newBytesChooser(choices), 25) })
}
