package ctl

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"io/fs"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/audit"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// status is a fleet whose authorities are in these phases.
func status(phases ...string) api.FleetStatus {
	s := api.FleetStatus{Fleet: "lab", Created: date(1), Members: 3, Updated: 2, Revoked: 1,
		WebFingerprint: strings.Repeat("cd", 32), AdminSecretFile: "/var/lib/cloudless/coordinatord/fleet/admin.secret"}
	for i, phase := range phases {
		a := api.AuthorityStatus{Fingerprint: trust.Fingerprint{byte(i + 1)}, Phase: phase, Since: date(i + 1), NotAfter: date(28)}
		if phase == phaseFormer {
			a.DropAfter = date(15)
		}
		s.Authorities = append(s.Authorities, a)
	}
	return s
}

func TestFleet(t *testing.T) {
	f := newFleet(t)
	s := f.transcript(t)
	f.script("GET admin/fleet", status(phaseIssuing))
	s.run("fleet", "--config", f.config)
	s.run("fleet", "--config", f.config, "--output", "json")
	moving := status(phaseIssuing, phaseNext)
	moving.Pending = 2
	f.script("GET admin/fleet", moving)
	s.run("fleet", "--config", f.config)
	f.answers["POST admin/secret/reset"] = answer{http.StatusNoContent, nil}
	s.run("fleet", "reset-secret", "--config", f.config)
	f.loggedIn(t)
	s.run("fleet", "reset-secret", "--collector", f.url)
	s.golden("fleet.golden")
}

func TestRollOver(t *testing.T) {
	f := newFleet(t)
	s := f.transcript(t)
	f.script("GET admin/fleet", status(phaseIssuing))
	s.run("ca", "status", "--config", f.config)
	f.script("POST admin/authority/prepare", status(phaseIssuing, phaseNext))
	s.run("ca", "prepare", "--config", f.config)
	s.remark("somebody would be left behind")
	f.refuse("POST admin/authority/switch", http.StatusConflict, "conflict", "1 members have not said yet that they trust the next authority: web-1")
	s.run("ca", "switch", "--config", f.config)
	f.script("POST admin/authority/switch", status(phaseFormer, phaseIssuing))
	s.run("ca", "switch", "--config", f.config, "--force")
	s.remark("nobody is left behind")
	all := status(phaseIssuing, phaseNext)
	all.Updated = all.Members
	f.script("GET admin/fleet", all)
	s.run("ca", "status", "--config", f.config, "--output", "json")
	s.run("ca", "switch", "--config", f.config)
	s.remark("too early")
	f.refuse("POST admin/authority/drop", http.StatusConflict, "conflict", "the overlap lasts until 2027-01-15")
	s.run("ca", "drop", "--config", f.config)
	f.script("POST admin/authority/drop", status(phaseIssuing))
	s.run("ca", "drop", "--config", f.config)
	f.script("POST admin/authority/abandon", status(phaseIssuing))
	s.run("ca", "abandon", "--config", f.config)
	s.golden("ca.golden")
}

// office issues as coordinatord does.
func (f *testFleet) office(t *testing.T) {
	t.Helper()
	ca, err := trust.NewCA("lab", rand.Reader, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	f.answer = func(path string, body []byte) (answer, bool) {
		if path != "admin/issue" {
			return answer{}, false
		}
		var request api.IssueRequest
		if err := json.Unmarshal(body, &request); err != nil {
			t.Error(err)
		}
		public, err := x509.ParsePKIXPublicKey(request.PublicKey)
		if err != nil {
			t.Error(err)
		}
		issued, err := ca.Sign(trust.Request{Role: request.Role, Name: request.Name, Hosts: request.Hosts, TTL: time.Duration(request.TTL) * time.Millisecond},
			public, rand.Reader, time.Now())
		if err != nil {
			return answer{http.StatusUnprocessableEntity, map[string]string{"status": "error", "errorType": "bad_data", "error": err.Error()}}, true
		}
		return answer{200, api.Enrolment{Outcome: api.Admitted, Certificate: string(issued.Cert), Bundle: string(issued.CA)}}, true
	}
}

func TestIssue(t *testing.T) {
	f := newFleet(t)
	f.office(t)
	out := t.TempDir()
	s := f.transcript(t, out, "OUT")
	issue := func(args ...string) { s.run(append([]string{"ca", "issue", "--config", f.config}, args...)...) }
	issue("collectord", "--host", "collector.example, 10.0.0.2,fd00::2", "--out", filepath.Join(out, "collector"))
	issue("operator", "--name", "alice", "--out", filepath.Join(out, "alice"), "--ttl", "48h")
	s.remark("the same name again is a renewal, another one is not")
	issue("operator", "--name", "alice", "--out", filepath.Join(out, "alice"))
	issue("operator", "--name", "bob", "--out", filepath.Join(out, "alice"))
	s.remark("names that no certificate may have")
	issue("operator", "--name", "Alice Smith", "--out", filepath.Join(out, "no"))
	text := regexp.MustCompile(`valid until [0-9: -]{16}|"public_key":"[^"]*"`).ReplaceAllStringFunc(s.text.String(), func(found string) string {
		if strings.HasPrefix(found, "valid") {
			return "valid until DATE"
		}
		return `"public_key":"..."`
	})
	s.text.Reset()
	s.text.WriteString(text)
	s.golden("issue.golden")
	if diff := cmp.Diff([]string{"-rw------- alice/operator.key", "-rw------- collector/collectord.key", "-rw-r--r-- alice/ca.crt",
		"-rw-r--r-- alice/operator.crt", "-rw-r--r-- collector/ca.crt", "-rw-r--r-- collector/collectord.crt",
		"drwx------ alice", "drwx------ collector"}, listing(t, out)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	for folder, role := range map[string]trust.Role{"alice": trust.RoleOperator, "collector": trust.RoleCollector} {
		if _, err := trust.Load(trust.FilesIn(filepath.Join(out, folder), role), time.Now); err != nil {
			t.Error(err)
		}
	}
}

// listing gives mode and path of everything below dir, by both.
func listing(t *testing.T, dir string) []string {
	t.Helper()
	found := []string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		found = append(found, info.Mode().String()+" "+name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(found)
	return found
}

func TestAudit(t *testing.T) {
	f := newFleet(t)
	s := f.transcript(t)
	run := func(args ...string) { s.run(append([]string{"audit", "--config", f.config}, args...)...) }
	entry := func(day int, daemon, who, what string) audit.Entry {
		return audit.Entry{At: date(day), Daemon: daemon, Who: who, What: what, From: "unix socket", OK: true}
	}
	failed := audit.Entry{At: date(2), Daemon: "collectord", Who: "user al\x1bice", What: "login", From: "192.0.2.7", Detail: "wrong password", More: map[string]string{"b": "2", "a": "1"}}
	f.script("GET admin/audit", api.AuditLog{Entries: []audit.Entry{}})
	f.script("GET "+api.PathWebAudit, api.AuditLog{Entries: []audit.Entry{}})
	run()
	token := entry(3, "coordinatord", "root", "token.create")
	token.On = "00112233aabbccdd"
	f.script("GET admin/audit", api.AuditLog{Entries: []audit.Entry{entry(1, "coordinatord", "root", "worker.approve"), token}})
	f.script("GET "+api.PathWebAudit, api.AuditLog{Entries: []audit.Entry{failed}})
	s.remark("merged by time")
	run()
	run("--output", "json", "--since", "2027-01-01T00:00:00Z")
	s.remark("the newest ones")
	run("--limit", "2")
	s.remark("one of the logs is missing")
	f.refuse("GET "+api.PathWebAudit, http.StatusInternalServerError, "internal", "disk error")
	run()
	f.refuse("GET admin/audit", http.StatusInternalServerError, "internal", "disk error")
	run()
	s.golden("audit.golden")
}

func TestSince(t *testing.T) {
	now := date(10)
	for text, want := range map[string]time.Time{
		"": {}, "24h": date(9), "2027-01-01T08:30:00Z": date(1), "1800000000": time.Unix(1_800_000_000, 0),
	} {
		if got, err := parseSince(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: got %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"yesterday", "-1h", "30d"} {
		if got, err := parseSince(text, now); err == nil {
			t.Errorf("%q: got %v, want an error", text, got)
		}
	}
}
