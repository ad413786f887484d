package ctl

import (
	"net/http"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/api"
)

func TestUsers(t *testing.T) {
	f := newFleet(t)
	s := f.transcript(t)
	f.script("POST "+api.PathUsers, api.UserRow{Name: "bob", Scope: api.ScopeRead, Created: date(1)})
	s.remark("the password is asked for twice, or read from standard input")
	s.types(password, password).run("user", "add", "bob", "--config", f.config)
	s.pipes(password+"\n").run("user", "add", "carol", "--scope", "admin", "--config", f.config)
	s.types(password, "other").run("user", "add", "bob", "--config", f.config)
	s.types("").run("user", "add", "bob", "--config", f.config)
	s.run("user", "add", "bob", "--config", f.config)
	f.refuse("POST "+api.PathUsers, http.StatusUnprocessableEntity, "bad_data", "password: want at least 10 characters")
	s.pipes("short").run("user", "add", "bob", "--config", f.config)

	f.script("GET "+api.PathUsers, api.UserList{Users: []api.UserRow{}})
	s.run("user", "list", "--config", f.config)
	f.script("GET "+api.PathUsers, api.UserList{Users: []api.UserRow{
		{Name: "bob", Scope: api.ScopeRead, Created: date(1), Locked: date(2)}, {Name: "carol", Scope: api.ScopeAdmin, Created: date(1)}}})
	s.run("user", "list", "--config", f.config)
	s.run("user", "list", "--config", f.config, "--output", "json")

	f.answers["POST "+api.PathUsers+"/bob/password"] = answer{http.StatusNoContent, nil}
	s.types(password, password).run("user", "password", "bob", "--config", f.config)
	f.answers["DELETE "+api.PathUsers+"/bob"] = answer{http.StatusNoContent, nil}
	s.run("user", "remove", "bob", "--config", f.config)
	s.run("user", "remove", "nobody", "--config", f.config)
	s.golden("user.golden")
}

func TestAPITokens(t *testing.T) {
	f := newFleet(t)
	s := f.transcript(t)
	row := api.APITokenRow{ID: "k1", Name: "grafana", Owner: "root", Scope: api.ScopeRead, Created: date(1)}
	f.script("POST "+api.PathAPITokens, api.APITokenCreated{Token: api.APITokenPrefix + "SECRET", APITokenRow: row})
	s.run("api-token", "create", "grafana", "--config", f.config)
	s.run("api-token", "create", "grafana", "--scope", "admin", "--ttl", "24h", "--config", f.config, "--output", "json")
	f.script("GET "+api.PathAPITokens, api.APITokenList{Tokens: []api.APITokenRow{}})
	s.run("api-token", "list", "--config", f.config)
	ending := row
	ending.ID, ending.Expires, ending.Used = "k2", date(3), date(2)
	f.script("GET "+api.PathAPITokens, api.APITokenList{Tokens: []api.APITokenRow{row, ending}})
	s.run("api-token", "list", "--config", f.config)
	s.run("api-token", "list", "--config", f.config, "--output", "json")
	f.answers["DELETE "+api.PathAPITokens+"/k1"] = answer{http.StatusNoContent, nil}
	s.run("api-token", "revoke", "k1", "--config", f.config)
	s.run("api-token", "revoke", "k9", "--config", f.config)
	s.golden("api-token.golden")
}
