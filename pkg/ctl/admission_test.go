package ctl

import (
	"net/http"
	"net/netip"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

const tokenText = "cloudless_join1_SECRET"

func TestJoinTokens(t *testing.T) {
	f := newFleet(t)
	s := f.transcript(t)
	row := api.TokenRow{ID: "00112233aabbccdd", Created: date(1), Expires: date(2), UsesLeft: 1, State: "valid"}
	f.script("POST admin/tokens", api.TokenCreated{Token: tokenText, TokenRow: row})
	s.remark("the token stands alone on standard output")
	s.run("token", "create", "--config", f.config)
	many := row
	many.UsesLeft, many.Labels = 20, map[string]string{"site": "lab"}
	f.script("POST admin/tokens", api.TokenCreated{Token: tokenText, TokenRow: many})
	s.run("token", "create", "--ttl", "24h", "--uses", "20", "--label", "site=lab", "--label", "rack=r 1",
		"--address", "10.0.0.1:10100", "--address", "[fd00::1]:10100", "--config", f.config, "--output", "json")
	s.remark("what coordinatord refuses")
	f.refuse("POST admin/tokens", http.StatusUnprocessableEntity, "bad_data", "address \"127.0.0.1\": no machine reaches it")
	s.run("token", "create", "--config", f.config)

	s.remark("the list")
	f.script("GET admin/tokens", api.TokenList{Tokens: []api.TokenRow{}})
	s.run("token", "list", "--config", f.config)
	used := api.TokenRow{ID: "ffeeddcc00112233", Created: date(1), Expires: date(2), Used: 1, State: "used_up"}
	f.script("GET admin/tokens", api.TokenList{Tokens: []api.TokenRow{many, used}})
	s.run("token", "list", "--config", f.config)
	s.run("token", "list", "--config", f.config, "--output", "json")

	s.remark("the end of one")
	f.answers["DELETE admin/tokens/00112233aabbccdd"] = answer{http.StatusNoContent, nil}
	s.run("token", "revoke", "00112233aabbccdd", "--config", f.config)
	s.run("token", "revoke", "0011", "--config", f.config)
	s.golden("token.golden")
}

const code = "bamod-lusit-nopaz-tigol"

func TestApproval(t *testing.T) {
	f := newFleet(t)
	s := f.transcript(t)
	f.script("GET admin/pending", api.PendingList{Pending: []api.PendingRow{}})
	s.run("workers", "pending", "--config", f.config)
	at := func(day int) model.Millis { return model.Millis(date(day).UnixMilli()) }
	f.script("GET admin/pending", api.PendingList{Pending: []api.PendingRow{
		{ID: workerID(1), Code: code, Hostname: "web-1", Address: netip.MustParseAddr("10.0.0.8"), Labels: map[string]string{"site": "lab"}, Since: at(1), Seen: at(2)},
		{ID: workerID(2), Code: "babab-babab-babab-babab", Hostname: "web\x1b[2J-2", Address: netip.MustParseAddr("fd00::8"), Since: at(1), Seen: at(1), Rejected: true}}})
	s.run("workers", "pending", "--config", f.config)
	s.run("workers", "pending", "--config", f.config, "--output", "json")

	f.script("POST admin/approve", api.Member{ID: workerID(1), Hostname: "web-1", At: date(2), By: "operator root", CertificateEnds: date(9)})
	s.remark("by its code, however it is typed, or by its id")
	s.run("workers", "approve", code, "--config", f.config, "--label", "site=lab")
	s.run("workers", "approve", "Bamod", "lusit", "NOPAZ", "tigol", "--config", f.config)
	s.run("workers", "approve", workerID(1).String(), "--config", f.config, "--output", "json")
	f.refuse("POST admin/approve", http.StatusNotFound, "not_found", "no machine with this code waits")
	s.run("workers", "approve", code, "--config", f.config)

	f.answers["POST admin/reject"] = answer{http.StatusNoContent, nil}
	s.run("workers", "reject", code, "--reason", "who is this?", "--config", f.config)
	s.golden("approval.golden")
}

func TestMembers(t *testing.T) {
	f := newFleet(t)
	s := f.transcript(t)
	f.script("GET admin/members", api.MemberList{Members: []api.Member{}})
	s.run("workers", "members", "--config", f.config)
	f.script("GET admin/members", api.MemberList{Members: []api.Member{
		{ID: workerID(1), Instance: "web-1", Hostname: "web-1", At: date(1), By: "token 00112233aabbccdd", CertificateEnds: date(8), Labels: map[string]string{"site": "lab"}},
		{ID: workerID(2), Hostname: "web-1", At: date(2), By: "clone 01000000", CloneOf: workerID(1), CertificateEnds: date(9), Revoked: true}}})
	s.run("workers", "members", "--config", f.config)
	s.run("workers", "members", "--config", f.config, "--output", "json")

	f.script("POST admin/revoke", api.Revoked{Revoked: []model.WorkerID{workerID(1)}, Clones: []model.WorkerID{workerID(2)}})
	s.run("workers", "revoke", "web-1", "--config", f.config, "--reason", "stolen")
	f.script("POST admin/revoke", api.Revoked{Revoked: []model.WorkerID{workerID(1), workerID(2)}})
	s.run("workers", "revoke", "web-1", "--config", f.config, "--clones")
	f.refuse("POST admin/revoke", http.StatusNotFound, "not_found", "no worker \"web-9\"")
	s.run("workers", "revoke", "web-9", "--config", f.config)

	f.answers["POST admin/readmit"] = answer{http.StatusNoContent, nil}
	s.run("workers", "readmit", "web-1", "--config", f.config)
	f.answers["POST admin/forget"] = answer{http.StatusNoContent, nil}
	s.run("workers", "forget", "web-1", "--config", f.config)
	f.refuse("POST admin/forget", http.StatusConflict, "conflict", "web-1 is alive: revoke it first")
	s.run("workers", "forget", "web-1", "--config", f.config)
	s.golden("members.golden")
}
