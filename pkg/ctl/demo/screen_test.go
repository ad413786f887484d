package demo

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

// views are the states of a demo in the order in which they are seen.
func views() []view {
	worker := workerRow{Name: "vm", State: "registered", Address: "127.0.0.1", FrameAge: -1, LeaseLeft: 29999 * time.Millisecond}
	measured := worker
	measured.FrameAge, measured.LeaseLeft = 1050*time.Millisecond, 28*time.Second
	return []view{
		{Waiting: "waiting for collectord to start"},
		{Steps: []stepRow{{"Fleet", `"demo" made, authority abab...`}, {"Join token", "0011 made, waiting for workerd to join by it"}}, Waiting: "waiting for the worker to be found and registered", Elapsed: 1900 * time.Millisecond},
		{Workers: []workerRow{worker}, Values: []valueRow{{"CPU busy", "no data yet"}, {"Load, 1 minute", "no data yet"}}, Elapsed: 2 * time.Second},
		{Workers: []workerRow{measured, {Name: "a-host-with-a-longer-name", State: "suspect", FrameAge: 100 * time.Second}},
			Values: []valueRow{{"CPU busy", "18.2 %"}, {"Memory available", "22.9 GiB"}}, Elapsed: 3*time.Hour + 2*time.Second},
	}
}

func TestViews(t *testing.T) {
	var all strings.Builder
	for _, v := range views() {
		fmt.Fprintf(&all, "%s----\n", render(v))
	}
	golden(t, "views.golden", all.String())
}

// On a terminal every view is drawn over the one before, line by line.
func TestDrawingOver(t *testing.T) {
	var out bytes.Buffer
	width := 80
	s := &screen{out: &out, terminal: true, width: func() int { return width }}
	now := time.Unix(0, 0)
	draw := func(v view, want string) {
		t.Helper()
		out.Reset()
		s.draw(v, now)
		if got := out.String(); got != want {
			t.Errorf("got\n%q\nwant\n%q", got, want)
		}
	}
	waiting := view{Waiting: "waiting"}
	first := "Cloudless: a fleet of one, running for 0s\n\n  waiting\n"
	draw(waiting, first)
	draw(waiting, "\x1b[3A\x1b[J"+first)
	width = 10 // the window became narrower
	draw(waiting, "\x1b[3A\x1b[JCloudless:\n\n  waiting\n")
	draw(view{Workers: []workerRow{{Name: "a", State: "b", Address: "c"}}},
		"\x1b[3A\x1b[JCloudless:\n\n  WORKER  \n  a       \n")
	width = 80
	draw(waiting, "\x1b[4A\x1b[J"+first)
}

// Elsewhere a view is printed every ten seconds, and when a worker comes or goes.
func TestPrintingBelow(t *testing.T) {
	var out bytes.Buffer
	s := &screen{out: &out}
	begun := time.Unix(1000, 0)
	all := views()
	for _, step := range []struct {
		at      time.Duration
		view    view
		printed bool
	}{
		{0, all[0], true},
		{time.Second, all[1], false},
		{2 * time.Second, all[2], true}, // the worker is there
		{3 * time.Second, all[2], false},
		{11900 * time.Millisecond, all[2], false},
		{12 * time.Second, all[2], true},
		{13 * time.Second, all[3], true}, // another one
		{14 * time.Second, all[1], true}, // none
		{15 * time.Second, all[0], false},
	} {
		out.Reset()
		s.draw(step.view, begun.Add(step.at))
		want := ""
		if step.printed {
			want = string(render(step.view)) + "\n"
		}
		if got := out.String(); got != want {
			t.Errorf("after %v: got\n%q\nwant\n%q", step.at, got, want)
		}
	}
}
