package collector

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// reporting runs contacts of the office.
func reporting(t *testing.T, o *office) *contacts {
	t.Helper()
	c := newContacts(o.client(t), quiet(), time.Now)
	background(t, c.run)
	synctest.Wait()
	return c
}

// reports are the reports that arrived, each sorted by worker.
func (o *office) reports() [][]api.Contact {
	_, all := o.look()
	for _, one := range all {
		slices.SortFunc(one, func(a, b api.Contact) int { return int(a.ID[0]) - int(b.ID[0]) })
	}
	return all
}

func millis(at time.Time) model.Millis { return model.Millis(at.UnixMilli()) }

func TestContactsAreToldTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(row(1, registered))
		c := reporting(t, o)
		begun := time.Now()
		for range 9 { // ends before the first report
			time.Sleep(100 * time.Millisecond)
			c.saw(id(1))
			c.saw(id(2))
		}
		time.Sleep(time.Second)
		c.saw(id(2))
		time.Sleep(time.Hour)
		want := [][]api.Contact{
			{{ID: id(1), At: millis(begun.Add(900 * time.Millisecond))}, {ID: id(2), At: millis(begun.Add(900 * time.Millisecond))}},
			{{ID: id(2), At: millis(begun.Add(1900 * time.Millisecond))}},
		}
		if diff := cmp.Diff(want, o.reports()); diff != "" {
			t.Errorf("reports (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(contactStats{Sent: 3}, c.stats()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestContactsAreToldAgainAfterAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice()
		o.set(func() { o.trouble = away{} })
		c := reporting(t, o)
		begun := time.Now()
		c.saw(id(1))
		c.saw(id(2))
		time.Sleep(1500 * time.Millisecond) // one report has failed
		c.saw(id(1))
		time.Sleep(2 * time.Second) // three
		o.set(func() { o.trouble = nil })
		time.Sleep(time.Second)
		want := [][]api.Contact{{{ID: id(1), At: millis(begun.Add(1500 * time.Millisecond))}, {ID: id(2), At: millis(begun)}}}
		if diff := cmp.Diff(want, o.reports()); diff != "" {
			t.Errorf("reports (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(contactStats{Sent: 2, Failed: 3}, c.stats()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// TestNewsOfAFrameBeatTheReportThatFailed: they came while it was under way.
func TestNewsOfAFrameBeatTheReportThatFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice()
		o.set(func() { o.hangs = true })
		c := reporting(t, o)
		begun := time.Now()
		c.saw(id(1))
		time.Sleep(3 * time.Second)
		c.saw(id(1))
		o.set(func() { o.hangs = false }) // for the next request
		rest(contactsTimeout)
		want := [][]api.Contact{{{ID: id(1), At: millis(begun.Add(3 * time.Second))}}}
		if diff := cmp.Diff(want, o.reports()); diff != "" {
			t.Errorf("reports (-want +got):\n%s", diff)
		}
	})
}

func TestContactsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice()
		c := newContacts(o.client(t), quiet(), time.Now)
		for n := range maxContacts + 5 {
			c.saw(id(n))
		}
		c.saw(id(0)) // has its place
		if diff := cmp.Diff(contactStats{Missed: 5}, c.stats()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		c.report(t.Context())
		if got := c.stats().Sent; got != maxContacts {
			t.Errorf("told %d, want %d", got, maxContacts)
		}
		for _, report := range o.reports() {
			if len(report) > api.MaxContacts {
				t.Errorf("%d contacts in one request", len(report))
			}
		}
	})
}
