package ctl

import (
	"context"
	"flag"
	"fmt"
	"io"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// scopeFlag adds --scope to a verb.
func scopeFlag(set *flag.FlagSet, usage string) *scope {
	s := scope(api.ScopeRead)
	set.Var(&s, "scope", usage)
	return &s
}

// scope is the value of --scope.
type scope api.Scope

func (s *scope) String() string { return string(*s) }

func (s *scope) Set(text string) error {
	if text != string(api.ScopeRead) && text != string(api.ScopeAdmin) {
		return fmt.Errorf("want %s or %s", api.ScopeRead, api.ScopeAdmin)
	}
	*s = scope(text)
	return nil
}

const aUser = "the name of a user"

func (c *command) userAdd(ctx context.Context, args []string) error {
	set := c.flags("user add")
	r := reaching(set, model.DaemonCollector)
	may := scopeFlag(set, "`scope` of the user: read may look, admin may do everything")
	name, err := c.parseOne(set, args, aUser)
	if err != nil {
		return err
	}
	client, w, err := r.queries()
	if err != nil {
		return err
	}
	password, err := c.password(ctx, "Password of "+name, true)
	if err != nil {
		return err
	}
	if _, err := client.CreateUser(ctx, api.UserRequest{Name: name, Password: password, Scope: api.Scope(*may)}); err != nil {
		return w.explain(err)
	}
	r.done()
	fmt.Fprintf(c.Out, "Added user %s (%s).\n", name, *may)
	return nil
}

func (c *command) userList(ctx context.Context, args []string) error {
	return overview[*api.Client, api.UserList]{
		verb: "user list", from: collector(), ask: (*api.Client).Users,
		rows: func(list api.UserList) int { return len(list.Users) },
		none: "No users yet: only admin with the admin secret can log in. `cloudlessctl user add NAME` adds one.",
		table: func(w io.Writer, list api.UserList) {
			fmt.Fprintln(w, "NAME\tSCOPE\tCREATED\tSTATE")
			for _, row := range list.Users {
				state := "active"
				if !row.Locked.IsZero() {
					state = "locked until " + when(row.Locked)
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", row.Name, row.Scope, when(row.Created), state)
			}
		},
	}.run(ctx, c, args)
}

func (c *command) userRemove(ctx context.Context, args []string) error {
	return deed[*api.Client]{verb: "user remove", from: collector(), want: aUser, do: (*api.Client).RemoveUser,
		said: "Removed user %s, with all sessions and API tokens."}.run(ctx, c, args)
}

func (c *command) userPassword(ctx context.Context, args []string) error {
	set := c.flags("user password")
	r := reaching(set, model.DaemonCollector)
	name, err := c.parseOne(set, args, aUser)
	if err != nil {
		return err
	}
	client, w, err := r.queries()
	if err != nil {
		return err
	}
	password, err := c.password(ctx, "New password of "+name, true)
	if err != nil {
		return err
	}
	if err := client.SetPassword(ctx, name, password); err != nil {
		return w.explain(err)
	}
	r.done()
	fmt.Fprintf(c.Out, "Changed the password of %s.\n", name)
	return nil
}
