package trust

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/trust/disk"
)

func TestLoadSaysWhatIsWrong(t *testing.T) {
	lab := newFleet(t, "lab")
	mine, other := issue(t, lab, worker()), issue(t, lab, worker())
	overwrite := func(path string, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		spoil func(*Files)
		now   func() time.Time
		want  error
		says  string
	}{
		"nothing":             {func(*Files) {}, noon, nil, ""},
		"no ca in the config": {func(f *Files) { f.CA = "" }, noon, nil, "ca: want the path"},
		"no key in the config": {func(f *Files) { f.Key = "" }, noon, nil,
			"key: want the path"},
		"ca missing":          {func(f *Files) { os.Remove(f.CA) }, noon, fs.ErrNotExist, "ca.crt"},
		"certificate missing": {func(f *Files) { os.Remove(f.Cert) }, noon, fs.ErrNotExist, "worker.crt"},
		"key missing":         {func(f *Files) { os.Remove(f.Key) }, noon, fs.ErrNotExist, "worker.key"},
		"key for all":         {func(f *Files) { os.Chmod(f.Key, 0o604) }, noon, ErrKeyMode, "chmod 600 "},
		"key for a group to write": {func(f *Files) { os.Chmod(f.Key, 0o620) }, noon, ErrKeyMode,
			"mode 0620"},
		"key of another":       {func(f *Files) { overwrite(f.Key, other.Key) }, noon, ErrKeyMismatch, "worker.key"},
		"key is a certificate": {func(f *Files) { overwrite(f.Key, mine.Cert) }, noon, nil, "no PEM block"},
		"certificate empty":    {func(f *Files) { overwrite(f.Cert, nil) }, noon, nil, "no PEM certificate"},
		"certificate garbage": {func(f *Files) {
			overwrite(f.Cert, []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
		}, noon, nil, "certificate 1"},
		"certificate huge":     {func(f *Files) { overwrite(f.Cert, make([]byte, largestFile+1)) }, noon, nil, "larger than"},
		"certificate a folder": {func(f *Files) { f.Cert = filepath.Dir(f.Cert) }, noon, nil, "not a regular file"},
		"certificate a pipe": {func(f *Files) {
			f.Cert += ".pipe"
			if err := syscall.Mkfifo(f.Cert, 0o600); err != nil {
				t.Fatal(err)
			}
		}, noon, nil, "not a regular file"},
		"ca is a leaf":      {func(f *Files) { overwrite(f.CA, mine.Cert) }, noon, ErrIdentity, "not the certificate of an authority"},
		"ca as certificate": {func(f *Files) { overwrite(f.Cert, lab.CertPEM()) }, noon, ErrKeyMismatch, ""},
		"expired":           {func(*Files) {}, in(DefaultTTL), ErrExpired, "2027-03-01T12:00:00Z"},
		"not yet valid":     {func(*Files) {}, in(-time.Hour), ErrNotYetValid, "is the clock right?"},
		"other authority of the fleet": {func(f *Files) { overwrite(f.CA, newFleet(t, "lab").CertPEM()) }, noon,
			ErrNotSigned, "ca.crt"},
		"foreign fleet": {func(f *Files) { overwrite(f.CA, newFleet(t, "prod").CertPEM()) }, noon,
			ErrForeignFleet, `of "lab"`},
		"two fleets in the ca file": {func(f *Files) {
			overwrite(f.CA, append(append([]byte(nil), lab.CertPEM()...), newFleet(t, "prod").CertPEM()...))
		}, noon, nil, "two fleets"},
	} {
		files := store(t, mine)
		c.spoil(&files)
		credentials, err := Load(files, c.now)
		switch {
		case c.want == nil && c.says == "":
			if err != nil || credentials.Identity() != mine.Identity || !credentials.NotAfter().Equal(mine.NotAfter) {
				t.Errorf("%s: got %v, want credentials of %v", name, err, mine.Identity)
			}
		case err == nil:
			t.Errorf("%s: accepted", name)
		case c.want != nil && !errors.Is(err, c.want), !strings.Contains(err.Error(), c.says):
			t.Errorf("%s: got error %q, want %v saying %q", name, err, c.want, c.says)
		}
	}
}

func TestKeyReadableByGroupOnlyWhenRootOwnsIt(t *testing.T) {
	files := store(t, issue(t, newFleet(t, "lab"), worker()))
	if err := os.Chmod(files.Key, 0o640); err != nil {
		t.Fatal(err)
	}
	_, err := Load(files, noon)
	if os.Getuid() == 0 {
		if err != nil {
			t.Errorf("0640 of root: %v", err)
		}
		if err := os.Chown(files.Key, 1, -1); err != nil {
			t.Skip("cannot give a file away:", err)
		}
		_, err = Load(files, noon)
	}
	if !errors.Is(err, ErrKeyMode) {
		t.Errorf("0640 of a user: got %v, want ErrKeyMode", err)
	}
}

func TestCertificateAndKeyMayShareAFile(t *testing.T) {
	issued := issue(t, newFleet(t, "lab"), worker())
	files := store(t, issued)
	if err := os.WriteFile(files.Key, append(issued.Key, issued.Cert...), disk.Private); err != nil {
		t.Fatal(err)
	}
	files.Cert = files.Key
	if _, err := Load(files, noon); err != nil {
		t.Error(err)
	}
}

func TestReloadIsAllOrNothing(t *testing.T) {
	lab := newFleet(t, "lab")
	files := store(t, issue(t, lab, worker()))
	c, err := Load(files, noon)
	if err != nil {
		t.Fatal(err)
	}
	before := c.NotAfter()

	if err := os.Remove(files.Key); err != nil {
		t.Fatal(err)
	}
	if err := c.Reload(); !errors.Is(err, fs.ErrNotExist) || c.NotAfter() != before {
		t.Errorf("without key: got %v, end %v; want fs.ErrNotExist and nothing changed", err, c.NotAfter())
	}

	dir := filepath.Dir(files.CA)
	stranger := issue(t, lab, Request{Role: RoleWorker, Name: "11111111-2222-4333-8444-555555555555"})
	if _, err := WriteCredentials(dir, stranger); err != nil {
		t.Fatal(err)
	}
	if err := c.Reload(); !errors.Is(err, ErrIdentityChanged) || c.Identity().Name != someWorker {
		t.Errorf("somebody else's: got %v, identity %v; want ErrIdentityChanged", err, c.Identity())
	}

	renewed := worker()
	renewed.TTL = time.Hour
	if _, err := WriteCredentials(dir, issue(t, lab, renewed)); err != nil {
		t.Fatal(err)
	}
	if err := c.Reload(); err != nil || !c.NotAfter().Equal(noon().Add(time.Hour)) {
		t.Errorf("renewed: got %v, end %v; want %v", err, c.NotAfter(), noon().Add(time.Hour))
	}
}
