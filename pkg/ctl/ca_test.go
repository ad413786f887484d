package ctl

import (
	"crypto/x509"
	"encoding/pem"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

const workerName = "0a1b2c3d-0000-4000-8000-000000000001"

func TestCA(t *testing.T) {
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca")
	s := newTranscript(t)
	want := func(code int, args ...string) {
		t.Helper()
		if got := s.run(args...); got != code {
			t.Errorf("cloudlessctl %q: got exit code %d, want %d", args, got, code)
		}
	}
	want(ExitFailed, "ca", "issue", "worker", "--dir", ca)
	want(ExitOK, "ca", "init", "--fleet", "lab", "--dir", ca)
	s.remark("an authority is never overwritten")
	key := read(t, filepath.Join(ca, "ca.key"))
	want(ExitFailed, "ca", "init", "--fleet", "lab", "--dir", ca)
	if read(t, filepath.Join(ca, "ca.key")) != key {
		t.Error("the key of the authority has changed")
	}
	s.remark("every role")
	want(ExitOK, "ca", "issue", "--dir", ca, "collectord", "--host", "collector.example, 10.0.0.2,fd00::2", "--out", filepath.Join(dir, "collector"))
	want(ExitOK, "ca", "issue", "--dir", ca, "--out", filepath.Join(dir, "collector"), "coordinatord")
	want(ExitOK, "ca", "issue", "worker", "--name", workerName, "--out", filepath.Join(dir, "web-1"), "--dir", ca)
	want(ExitOK, "ca", "issue", "operator", "--name", "alice", "--out", filepath.Join(dir, "alice"), "--dir", ca, "--ttl", "48h")
	s.remark("the same name again is a renewal, another one is not")
	want(ExitOK, "ca", "issue", "worker", "--name", workerName, "--out", filepath.Join(dir, "web-1"), "--dir", ca)
	want(ExitFailed, "ca", "issue", "worker", "--name", strings.Replace(workerName, "1", "2", 1), "--out", filepath.Join(dir, "web-1"), "--dir", ca)
	s.remark("names and hosts that no certificate may have")
	want(ExitUsage, "ca", "issue", "worker", "--name", "web-1", "--dir", ca, "--out", filepath.Join(dir, "no"))
	want(ExitFailed, "ca", "issue", "operator", "--name", "Alice Smith", "--dir", ca, "--out", filepath.Join(dir, "no"))
	want(ExitFailed, "ca", "issue", "collectord", "--host", "good,a b", "--dir", ca, "--out", filepath.Join(dir, "no"))
	want(ExitFailed, "ca", "issue", "worker", "--host", "web-1", "--name", workerName, "--dir", ca, "--out", filepath.Join(dir, "no"))
	s.remark("files of another fleet")
	want(ExitOK, "ca", "init", "--fleet", "prod", "--dir", filepath.Join(dir, "prod"))
	want(ExitFailed, "ca", "issue", "operator", "--name", "alice", "--dir", filepath.Join(dir, "prod"), "--out", filepath.Join(dir, "alice"))
	dates := regexp.MustCompile(`valid until \d{4}-\d\d-\d\d`).ReplaceAllString(s.text.String(), "valid until DATE")
	s.text.Reset()
	s.text.WriteString(strings.ReplaceAll(dates, dir, "DIR"))
	s.golden("ca.golden")

	if diff := cmp.Diff([]string{
		"-rw------- alice/operator.key", "-rw------- ca/ca.key", "-rw------- collector/collectord.key",
		"-rw------- collector/coordinatord.key", "-rw------- prod/ca.key", "-rw------- web-1/worker.key",
		"-rw-r--r-- alice/ca.crt", "-rw-r--r-- alice/operator.crt", "-rw-r--r-- ca/ca.crt",
		"-rw-r--r-- collector/ca.crt", "-rw-r--r-- collector/collectord.crt", "-rw-r--r-- collector/coordinatord.crt",
		"-rw-r--r-- prod/ca.crt", "-rw-r--r-- web-1/ca.crt", "-rw-r--r-- web-1/worker.crt",
		"drwx------ alice", "drwx------ ca", "drwx------ collector", "drwx------ prod", "drwx------ web-1",
	}, listing(t, dir)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	for _, made := range []struct {
		folder, identity string
		role             trust.Role
		ttl              time.Duration
	}{
		{"collector", "cloudless://lab/collectord/collectord", trust.RoleCollector, trust.DefaultTTL},
		{"collector", "cloudless://lab/coordinatord/coordinatord", trust.RoleCoordinator, trust.DefaultTTL},
		{"web-1", "cloudless://lab/worker/" + workerName, trust.RoleWorker, trust.DefaultTTL},
		{"alice", "cloudless://lab/operator/alice", trust.RoleOperator, 48 * time.Hour},
	} {
		credentials, err := trust.Load(trust.FilesIn(filepath.Join(dir, made.folder), made.role), time.Now)
		if err != nil {
			t.Errorf("%s: %v", made.identity, err)
			continue
		}
		if got := credentials.Identity().String(); got != made.identity {
			t.Errorf("got a certificate for %s, want %s", got, made.identity)
		}
		if left := time.Until(credentials.NotAfter()); left > made.ttl || left < made.ttl-time.Hour {
			t.Errorf("%s: valid for %v, want %v", made.identity, left, made.ttl)
		}
	}
	server := certificate(t, filepath.Join(dir, "collector", "collectord.crt"))
	for _, host := range []string{"collector.example", "10.0.0.2", "fd00::2"} {
		if err := server.VerifyHostname(host); err != nil {
			t.Error(err)
		}
	}
}

// Without options everything goes into the present folder, under the name.
func TestCAWithoutOptions(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, line := range []string{"ca init --fleet lab", "ca issue collectord", "ca issue coordinatord", "ca issue operator", "ca issue worker"} {
		if code, _, stderr := ctl(t.Context(), strings.Fields(line)...); code != ExitOK {
			t.Fatalf("cloudlessctl %s: exit code %d: %s", line, code, stderr)
		}
	}
	folders, err := filepath.Glob("*")
	if err != nil {
		t.Fatal(err)
	}
	var worker string
	for i, name := range folders {
		if _, err := os.Stat(filepath.Join(name, "worker.crt")); err == nil {
			worker, folders[i] = name, "ID"
		}
	}
	slices.Sort(folders) // the id is random, and so was its place
	if diff := cmp.Diff([]string{"ID", "cloudless-ca", "collectord", "coordinatord", "operator"}, folders); diff != "" {
		t.Errorf("folders (-want +got):\n%s", diff)
	}
	identity, err := trust.CertificateIdentity(certificate(t, filepath.Join(worker, "worker.crt")))
	if err != nil || identity.Name != worker {
		t.Errorf("folder %s holds the certificate of %s, %v", worker, identity, err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func certificate(t *testing.T, path string) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode([]byte(read(t, path)))
	if block == nil {
		t.Fatalf("%s: no PEM", path)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// listing gives mode and path of everything below dir.
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
		relative, err := filepath.Rel(dir, path)
		found = append(found, info.Mode().String()+" "+relative)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(found)
	return found
}
