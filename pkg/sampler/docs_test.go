package sampler

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// docs/metrics.md is written from the table of collectors and what they find
// on the recorded host.
func TestMetricsAreDocumented(t *testing.T) {
	h := newTestHost(t)
	snapshot, err := h.sampler().SampleOnce()
	if err != nil {
		t.Fatal(err)
	}
	var page strings.Builder
	page.WriteString(docsIntro)
	for _, entry := range table() {
		at := slices.IndexFunc(snapshot.Parts, func(p model.Part) bool { return p.Collector == entry.name })
		if at < 0 {
			t.Errorf("collector %q finds nothing on the recorded host", entry.name)
			continue
		}
		docsSection(&page, entry.name, entry.reads, snapshot.Parts[at])
	}
	docsSection(&page, scrapePart, "the sampler itself", snapshot.Parts[len(snapshot.Parts)-1])
	page.WriteString(docsDifferences)
	golden(t, "../../docs/metrics.md", []byte(page.String()))
}

func docsSection(page *strings.Builder, name, reads string, part model.Part) {
	fmt.Fprintf(page, "\n## %s\n\nReads %s.\n\n| metric | type | decimals | labels | help |\n|---|---|---|---|---|\n", name, reads)
	for _, f := range part.Families {
		var labels []string
		for _, label := range f.Series[0] {
			labels = append(labels, label.Name)
		}
		kind := f.Type.String()
		if f.Type == model.Untyped {
			kind = "untyped"
		}
		fmt.Fprintf(page, "| `%s` | %s | %d | %s | %s |\n", f.Name, kind, f.Scale, strings.Join(labels, ", "),
			strings.NewReplacer("|", `\|`, "<", `\<`).Replace(f.Help))
	}
}

const docsIntro = `# Metrics of a worker

Written from the table of collectors by ` + "`go test ./pkg/sampler -run TestMetricsAreDocumented -update`" + `; do not edit.

Every worker sends these series, with the labels ` + "`instance`" + ` and ` + "`job`" + ` that the collector adds. A section is a
collector, a switch in the TOML (` + "`[sampling.collectors.<name>]`" + `), and a part of the worker's schema. *Decimals* is how many
digits after the point the kernel's unit has; values are kept exactly, whatever it is. Which fields and devices there are
depends on the host: listed is what a small recorded host has. Beside these come the daemon's own ` + "`cloudless_*`" + ` series.
`

const docsDifferences = `
## Differences from node_exporter

Compared with node_exporter 1.12.1, its default collectors of the same names, by the tests TestAgainstNodeExporterFrozen
and TestAgainstNodeExporterLive (run with NODE_EXPORTER=/path/to/node_exporter). Names, labels, types, help and values are
equal, except for:

| what | why |
|---|---|
| All fields of /proc/meminfo are there, also KReclaimable, SecPageTables, FileHugePages, FilePmdMapped, Balloon, Hugetlb, Unaccepted and those to come | node_exporter has a fixed list |
| Times from /proc/diskstats and /proc/pressure may differ in the last bit | one division gives the float64 nearest to what the kernel printed; node_exporter multiplies by 0.001, or divides twice |
| node_time_seconds has milliseconds | it equals the timestamp of its own sample; finer digits would be noise that costs bytes |
| node_scrape_collector_duration_seconds has microseconds | as above |
| node_network_receive_nohandler_total comes from sysfs, the other counters from /proc/net/dev | node_exporter takes all from netlink, which has no injected root; the numbers are the same |
| Mount points with a backslash or newline are spelled with that character | node_exporter leaves them escaped, and then finds no such mount |
| Of two mounts with the same labels, the topmost counts | it is the one that statfs describes |
| A mount that hangs keeps its read-only state | node_exporter reports 0 |
| Until a hung mount is reported as "mountpoint timeout", its series have no values | a value is never repeated from an earlier round |
| What an interface stops telling (the speed of a link that went down) ends as stale | node_exporter leaves the series out, which is the same to a query |
| Labels from udev, sysfs and os-release may be a minute old | they hardly ever change, and looking them up costs more than the rest of their collector |
| The rotational flag is also found for disks with a slash in their name | sysfs spells it with an exclamation mark |
`
