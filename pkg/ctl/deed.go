package ctl

import (
	"context"
	"fmt"
)

// deed is a verb that does one thing to what its argument names, by a client C.
type deed[C any] struct {
	verb  string
	from  source[C]
	want  string                  // what the argument is
	check func(name string) error // of the argument; nil: anything will do
	do    func(client C, ctx context.Context, name string) error
	said  string // when it is done; %s is the argument
}

func (d deed[C]) run(ctx context.Context, c *command, args []string) error {
	set := c.flags(d.verb)
	r := reaching(set, d.from.daemon)
	name, err := c.parseOne(set, args, d.want)
	if err == nil && d.check != nil {
		err = d.check(name)
	}
	if err != nil {
		return err
	}
	client, w, err := d.from.client(r)
	if err != nil {
		return err
	}
	if err := d.do(client, ctx, name); err != nil {
		return w.explain(err)
	}
	r.done()
	fmt.Fprintf(c.Out, d.said+"\n", name)
	return nil
}
