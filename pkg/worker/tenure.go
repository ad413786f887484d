package worker

import "github.com/cloudless-fleet/cloudless/pkg/api"

// tenure is what the coordinator has said in a session.
type tenure struct {
	state sessionState
	text  string // why it is waiting
	plan  api.Plan
}

// What a directive asks for, in the order in which it is to be done.
type (
	takeBundle struct{ pem string }
	rebind     struct{}
	rekey      struct{ why string }
	shut       struct{ why string } // this process may not speak for the worker
	admit      struct{ news bool }  // it may; news: it could not before
	planned    struct{ was uint64 } // the plan has changed
	renewNow   struct{}
	closing    struct{ why string }
)

// next takes a directive. Pure.
func (t tenure) next(d api.Directive) (tenure, []any) {
	var todo []any
	if d.Bundle != "" {
		todo = append(todo, takeBundle{d.Bundle})
	}
	if d.Rebind {
		todo = append(todo, rebind{})
	}
	switch {
	case d.Rekey != "":
		t.state, t.text = sessionNone, d.Rekey
		return t, append(todo, shut{d.Rekey}, rekey{d.Rekey})
	case d.Wait != "":
		t.state, t.text = sessionWaiting, d.Wait
		todo = append(todo, shut{d.Wait})
	case d.Plan != nil:
		todo = append(todo, admit{news: t.state != sessionAdmitted})
		t.state, t.text = sessionAdmitted, ""
		if was := t.plan.Revision; was != d.Plan.Revision || was == 0 {
			todo = append(todo, planned{was})
		}
		t.plan = *d.Plan
	}
	if d.Renew {
		todo = append(todo, renewNow{})
	}
	if d.End != "" {
		todo = append(todo, closing{d.End})
	}
	return t, todo
}
