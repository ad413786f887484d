package ctl

import (
	"context"
	"fmt"
	"io"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// overview is a verb that takes nothing and shows what a daemon knows: T, asked for
// by a client C.
type overview[C, T any] struct {
	verb  string
	from  source[C]
	ask   func(C, context.Context) (T, error)
	table func(w io.Writer, found T) // cells are separated by tabs

	// What only people are told. None of it need be there.
	rows func(found T) int
	none string               // instead of a table without rows
	hint func(found T) string // below the table
}

// source is the daemon that answers, and how to reach it.
type source[C any] struct {
	daemon string
	client func(*reach) (C, way, error)
}

func coordinator() source[*api.AdminClient] {
	return source[*api.AdminClient]{model.DaemonCoordinator, (*reach).administration}
}

func collector() source[*api.Client] {
	return source[*api.Client]{model.DaemonCollector, (*reach).queries}
}

func (o overview[C, T]) run(ctx context.Context, c *command, args []string) error {
	set := c.flags(o.verb)
	r, form := reaching(set, o.from.daemon), outputFlag(set)
	if err := c.parseAll(set, args); err != nil {
		return err
	}
	client, w, err := o.from.client(r)
	if err != nil {
		return err
	}
	found, err := o.ask(client, ctx)
	if err != nil {
		return w.explain(err)
	}
	r.done()
	return o.print(c, form, found)
}

func (o overview[C, T]) print(c *command, form *output, found T) error {
	if o.rows != nil && o.rows(found) == 0 && form.forPeople() {
		fmt.Fprintln(c.Err, o.none)
		return nil
	}
	err := form.print(c.Out, found, func(w io.Writer) { o.table(w, found) })
	if err == nil && o.hint != nil && form.forPeople() {
		fmt.Fprintln(c.Err, o.hint(found))
	}
	return err
}
