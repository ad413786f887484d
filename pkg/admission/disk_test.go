package admission

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"github.com/cloudless-fleet/cloudless/pkg/boltfile"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/pairing"
	"github.com/cloudless-fleet/cloudless/pkg/trust/token"
)

// edit changes the file of a desk that is closed.
func edit(t *testing.T, dir string, change func(tx *bbolt.Tx) error) {
	t.Helper()
	db, err := bbolt.Open(filepath.Join(dir, FileName), 0o600, &bbolt.Options{Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(change), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// flip turns one bit of the content of a value.
func flip(bucket string, key []byte) func(tx *bbolt.Tx) error {
	return func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(bucket))
		if key == nil {
			key, _ = b.Cursor().First()
			key = bytes.Clone(key)
		}
		value := bytes.Clone(b.Get(key))
		value[len(value)-3] ^= 1
		return b.Put(key, value)
	}
}

func TestDamagedEntriesAreSetAside(t *testing.T) {
	o := newOffice(t, testConfig())
	good, bad := machineOf(1), machineOf(2)
	join := o.token(TokenSpec{Uses: 3})
	o.want(o.enrol(good, join), OutcomeAdmitted, "")
	o.want(o.enrol(bad, join), OutcomeAdmitted, "")
	o.pass(time.Second)
	other := o.token(TokenSpec{})
	o.enrol(machineOf(3), nil)
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	badKey, _ := trust.FingerprintOf(bad.public())
	edit(t, o.dir, flip(bucketMembers, bad.id[:]))
	edit(t, o.dir, flip(bucketTokens, other.ID[:]))
	edit(t, o.dir, flip(bucketUses, tokenUse{join.ID, token.Use{Key: badKey}}.key()))
	edit(t, o.dir, flip(bucketPending, nil))
	edit(t, o.dir, func(tx *bbolt.Tx) error { // one that lies under another's key
		members := tx.Bucket([]byte(bucketMembers))
		wrong := testID(9)
		return members.Put(wrong[:], bytes.Clone(members.Get(good.id[:])))
	})
	for range 2 { // set aside once
		o.open()
		if got := o.Members(); len(got) != 1 || got[0].ID != good.id {
			t.Errorf("members: %+v", got)
		}
		if got := o.Tokens(); len(got) != 1 || got[0].UsesLeft != 1 || len(got[0].Uses) != 1 {
			t.Errorf("tokens: %+v", got)
		}
		o.Close()
	}
	kept := 0
	edit(t, o.dir, func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(bucketQuarantine)).ForEach(func(key, value []byte) error {
			kept++
			if binary.BigEndian.Uint64(key) == 0 || len(value) < valueHeader {
				t.Errorf("quarantined %x: %x", key, value)
			}
			return nil
		})
	})
	if kept != 5 {
		t.Errorf("%d in quarantine, want 5", kept)
	}
	o.open()
	if s := o.Stats(); s.Quarantined != 0 {
		t.Errorf("quarantined again: %d", s.Quarantined)
	}
	// Nothing is spent twice: the use is gone, but not what was left of the token.
	o.want(o.enrol(bad, join), OutcomeAdmitted, "")
	o.want(o.enrol(machineOf(4), join), OutcomeRefused, "token_used_up")
}

func TestFilesThatAreRefused(t *testing.T) {
	open := func(dir string) error {
		d, _, err := openDisk(dir, 10*time.Millisecond)
		if err == nil {
			d.Close()
		}
		return err
	}
	for name, test := range map[string]struct {
		change func(tx *bbolt.Tx) error
		want   error
	}{
		"a newer file": {func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte(bucketMeta)).Put([]byte(keyFormat), binary.BigEndian.AppendUint64(nil, formatVersion+1))
		}, ErrNewerFormat},
		"a newer member": {func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte(bucketMembers)).Put([]byte("x"), []byte{valueVersion + 1, 0, 0, 0, 0, 'x'})
		}, ErrNewerFormat},
		"a version that is none": {func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte(bucketMeta)).Put([]byte(keyFormat), []byte("1"))
		}, ErrDamaged},
	} {
		dir := t.TempDir()
		if err := open(dir); err != nil {
			t.Fatal(err)
		}
		edit(t, dir, test.change)
		before, err := os.ReadFile(filepath.Join(dir, FileName))
		if err != nil {
			t.Fatal(err)
		}
		if err := open(dir); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
		if after, err := os.ReadFile(filepath.Join(dir, FileName)); err != nil || !bytes.Equal(before, after) {
			t.Errorf("%s: the file was changed, %v", name, err)
		}
	}
	for name, content := range map[string]string{"not a database": strings.Repeat("x", 64<<10), "cut short": "x"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, FileName), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := open(dir); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	dir := t.TempDir()
	first, _, err := openDisk(dir, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if err := open(dir); !errors.Is(err, ErrLocked) {
		t.Errorf("open twice: %v", err)
	}
	if info, err := os.Stat(filepath.Join(dir, FileName)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// What is on disk does not let the thief of the file in.
func TestNoSecretIsOnDisk(t *testing.T) {
	o := newOffice(t, testConfig())
	join := o.token(TokenSpec{Labels: map[string]string{"site": "lab"}})
	o.want(o.enrol(machineOf(1), join), OutcomeAdmitted, "")
	text := join.Reveal()
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(o.dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	for i := len(text) - 50; i >= 20; i -= 10 {
		if bytes.Contains(content, []byte(text[i:i+20])) {
			t.Errorf("the token's text is in the file, from %d", i)
		}
	}
	if !bytes.Contains(content, []byte("lab")) {
		t.Error("nothing is in the file")
	}
}

func TestTokensAreBoundedAndForgotten(t *testing.T) {
	o := newOffice(t, testConfig())
	for i := range 3 { // a write for each is slow: most are put there directly
		o.token(TokenSpec{TTL: time.Duration(i+1) * time.Minute})
	}
	record := o.Tokens()[0]
	o.Desk.mu.Lock()
	for i := len(o.tokens); i < MaxTokens; i++ {
		record.ID = token.ID(binary.BigEndian.AppendUint64(nil, uint64(i+1)))
		record.Expires = o.now.Add(time.Hour)
		o.tokens[record.ID] = record
	}
	o.Desk.mu.Unlock()
	if _, _, err := o.CreateToken(TokenSpec{}); !errors.Is(err, ErrManyTokens) {
		t.Errorf("one more: %v", err)
	}
	o.pass(2 * time.Minute)
	o.token(TokenSpec{})
	o.token(TokenSpec{})
	if _, _, err := o.CreateToken(TokenSpec{}); !errors.Is(err, ErrManyTokens) {
		t.Errorf("one more: %v", err)
	}
	o.pass(time.Hour + keepTokens + 2*time.Minute)
	o.prune()
	if got := len(o.Tokens()); got != 0 {
		t.Errorf("%d tokens are remembered", got)
	}
	o.reopen()
	if got := len(o.Tokens()); got != 0 {
		t.Errorf("%d tokens are back", got)
	}
}

func TestTokenSpecs(t *testing.T) {
	o := newOffice(t, testConfig())
	made, record, err := o.CreateToken(TokenSpec{Addresses: []string{"192.0.2.1:10100"}})
	if err != nil || record.UsesLeft != 1 || record.Expires.Sub(record.Created) != time.Hour || made.Fleet != "lab" || len(made.Addresses) != 1 {
		t.Errorf("defaults: %v, %+v, %v", made, record, err)
	}
	for name, spec := range map[string]TokenSpec{
		"ttl":          {TTL: -1},
		"a long ttl":   {TTL: year + 1},
		"uses":         {Uses: -1},
		"many uses":    {Uses: token.MaxUses + 1},
		"labels":       {Labels: map[string]string{"a b": "c"}},
		"an address":   {Addresses: []string{"nowhere"}},
		"no addresses": {Addresses: make([]string, 9)},
	} {
		if _, _, err := o.CreateToken(spec); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := o.RevokeToken(token.ID{1}); !errors.Is(err, ErrUnknownToken) {
		t.Errorf("revoke: %v", err)
	}
}

func TestARemovedTokenTakesItsUsesAlong(t *testing.T) {
	o := newOffice(t, testConfig())
	join := o.token(TokenSpec{Uses: 3})
	for n := range 3 {
		o.want(o.enrol(machineOf(n), join), OutcomeAdmitted, "")
	}
	o.pass(time.Hour + keepTokens + time.Second)
	o.prune()
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	edit(t, o.dir, func(tx *bbolt.Tx) error {
		for _, name := range []string{bucketTokens, bucketUses, bucketQuarantine} {
			if n := tx.Bucket([]byte(name)).Stats().KeyN; n != 0 {
				t.Errorf("%s: %d entries", name, n)
			}
		}
		return nil
	})
}

func sampleMember() storedMember {
	return storedMember{ID: testID(1), Key: machineOf(1).public(), Hostname: "web-1", Labels: map[string]string{"site": "lab"}, At: 1,
		By: "token 0102030405060708", CloneOf: testID(2), Family: testID(3), Body: trust.Body{1}, Boot: model.BootID{2}, Left: true,
		Past: []model.BootID{{3}, {4}}, Ends: 5, Bundle: "digest"}
}

func samplePending() Pending {
	return Pending{ID: testID(1), Key: machineOf(1).public(), Code: pairing.Code{1, 2, 3, 4}, Hostname: "web-1", From: netip.MustParseAddr("2001:db8::1"),
		Labels: map[string]string{"site": "lab"}, CloneOf: testID(2), Since: time.UnixMilli(1), Seen: time.UnixMilli(2),
		Rejected: true, RejectedBy: "alice", Reason: "not ours"}
}

func TestValuesSurvive(t *testing.T) {
	m := sampleMember()
	value, err := appendMember(nil, &m)
	if err != nil {
		t.Fatal(err)
	}
	got, err := parseMember(value)
	if diff := cmp.Diff(m, got); err != nil || diff != "" {
		t.Errorf("member: %v\n%s", err, diff)
	}
	if again := storedMemberOf(got.member()); cmp.Diff(m, again) != "" {
		t.Errorf("member (-want +got):\n%s", cmp.Diff(m, again))
	}
	p := samplePending()
	if value, err = appendPending(nil, &p); err != nil {
		t.Fatal(err)
	}
	a, err := parsePending(value)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(p, a.Pending, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("pending (-want +got):\n%s", diff)
	}
}

func TestValuesThatAreNone(t *testing.T) {
	for name, change := range map[string]func(*storedMember){
		"no id":       func(m *storedMember) { m.ID = model.WorkerID{} },
		"a short key": func(m *storedMember) { m.Key = m.Key[1:] },
		"a long name": func(m *storedMember) { m.Hostname = strings.Repeat("x", 254) },
		"a long by":   func(m *storedMember) { m.By = strings.Repeat("x", 300) },
		"a time":      func(m *storedMember) { m.At = -1 },
		"labels":      func(m *storedMember) { m.Labels = map[string]string{"a b": "c"} },
		"many past":   func(m *storedMember) { m.Past = make([]model.BootID, maxPast+1) },
	} {
		m := sampleMember()
		change(&m)
		value, err := appendMember(nil, &m)
		if err == nil {
			_, err = parseMember(value)
		}
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	m := sampleMember()
	value, _ := appendMember(nil, &m)
	for i := range value {
		for bit := range 8 {
			spoilt := bytes.Clone(value)
			spoilt[i] ^= 1 << bit
			if _, err := parseMember(spoilt); !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNewerFormat) {
				t.Fatalf("bit %d of byte %d: %v", bit, i, err)
			}
		}
	}
}

// resealed gives content that a fuzzer has made a checksum that matches.
func resealed(content []byte) []byte { return boltfile.AppendValue(nil, content) }

func FuzzParseMember(f *testing.F) {
	m := sampleMember()
	value, _ := appendMember(nil, &m)
	f.Add(value[valueHeader:])
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, content []byte) {
		parseMember(content)
		m, err := parseMember(resealed(content))
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Fatal(err)
			}
			return
		}
		loaded := m.member()
		again := storedMemberOf(loaded)
		value, err := appendMember(nil, &again)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseMember(value); err != nil {
			t.Fatalf("what was read is written and not read again: %v", err)
		}
	})
}

func FuzzParsePending(f *testing.F) {
	p := samplePending()
	value, _ := appendPending(nil, &p)
	f.Add(value[valueHeader:])
	f.Fuzz(func(t *testing.T, content []byte) {
		parsePending(content)
		a, err := parsePending(resealed(content))
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Fatal(err)
			}
			return
		}
		b := newBook()
		b.add(a)
		b.remove(a)
		value, err := appendPending(nil, &a.Pending)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parsePending(value); err != nil {
			t.Fatalf("what was read is written and not read again: %v", err)
		}
	})
}

func FuzzParseToken(f *testing.F) {
	f.Add([]byte(`{"version":1,"id":"0102030405060708","verifier":"` + strings.Repeat("00", 32) + `","created":"2026-03-01T12:00:00Z","expires":"2026-03-01T13:00:00Z","uses_left":1}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		r, err := parseToken(resealed(content))
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Fatal(err)
			}
			return
		}
		value, err := appendToken(nil, r)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := parseToken(value); err != nil || again.ID != r.ID || again.UsesLeft != r.UsesLeft {
			t.Fatalf("%+v became %+v, %v", r, again, err)
		}
	})
}

func FuzzParseUse(f *testing.F) {
	u := tokenUse{token.ID{1}, token.Use{Key: trust.Fingerprint{2}, At: time.UnixMilli(3)}}
	f.Add(u.key(), u.appendValue(nil))
	f.Fuzz(func(t *testing.T, key, value []byte) {
		u, err := parseUse(key, value)
		if err != nil {
			return
		}
		if !bytes.Equal(u.key(), key) || !bytes.Equal(u.appendValue(nil), value) {
			t.Fatalf("%x %x became %x %x", key, value, u.key(), u.appendValue(nil))
		}
	})
}
