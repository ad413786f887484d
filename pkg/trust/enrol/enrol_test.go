package enrol

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/token"
)

func noon() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

func ours() trust.Fingerprint { return trust.Fingerprint{7} }

func key(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(append(make([]byte, 31), n))
}

func join(t testing.TB, authority trust.Fingerprint) *token.Token {
	t.Helper()
	made, err := token.New("lab", authority, nil, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &made
}

func request(t testing.TB, tok *token.Token) *Request {
	t.Helper()
	r := &Request{Worker: model.WorkerIDFrom([16]byte{1}), Hostname: "web-1", Body: trust.Body{9}, Labels: map[string]string{"a": "1", "b": "2"}}
	if err := r.Sign(key(1), tok, rand.Reader, noon()); err != nil {
		t.Fatal(err)
	}
	return r
}

func renewal(t testing.TB) *Renewal {
	t.Helper()
	r := &Renewal{Worker: model.WorkerIDFrom([16]byte{1}), Authority: ours(), Hostname: "web-1"}
	if err := r.Sign(key(1), rand.Reader, noon()); err != nil {
		t.Fatal(err)
	}
	return r
}

func fingerprint(n byte) trust.Fingerprint {
	f, _ := trust.FingerprintOf(key(n).Public())
	return f
}

func TestRequestSurvivesItsJourney(t *testing.T) {
	for name, tok := range map[string]*token.Token{"with token": join(t, ours()), "without": nil} {
		sent := request(t, tok)
		data, err := sent.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseRequest(data)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(sent, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if verdict := got.Check([]trust.Fingerprint{{1}, ours()}, noon().Add(time.Second)); verdict != (Verdict{Offset: -time.Second}) {
			t.Errorf("%s: %v", name, verdict)
		}
		claim, ok := got.Claim()
		if ok != (tok != nil) {
			t.Errorf("%s: claim %v", name, ok)
		}
		if tok == nil {
			continue
		}
		record, err := token.NewRecord(*tok, time.Hour, 1, nil, noon())
		if err != nil {
			t.Fatal(err)
		}
		if _, verdict := token.Redeem(record, claim, noon()); verdict != token.Admitted || claim.Key != fingerprint(1) {
			t.Errorf("%s: token says %v", name, verdict)
		}
		if strings.Contains(string(data), tok.Reveal()[30:50]) || strings.Contains(fmt.Sprintf("%+v %s", sent, data), tok.Reveal()) {
			t.Errorf("%s: the token's secret travels", name)
		}
	}
}

// A coordinator that is not the one of the token gets nothing it could use with
// the right one.
func TestProofIsBoundToEverything(t *testing.T) {
	tok := join(t, ours())
	record, err := token.NewRecord(*tok, time.Hour, 1, nil, noon())
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Request){
		"worker":    func(r *Request) { r.Worker[0] ^= 1 },
		"hostname":  func(r *Request) { r.Hostname += "x" },
		"body":      func(r *Request) { r.Body[0] ^= 1 },
		"label":     func(r *Request) { r.Labels["a"] = "2" },
		"labels":    func(r *Request) { delete(r.Labels, "a") },
		"authority": func(r *Request) { r.Authority[1] ^= 1 },
		"time":      func(r *Request) { r.Time = r.Time.Add(time.Millisecond) },
		"nonce":     func(r *Request) { r.Nonce[0] ^= 1 },
		"key":       func(r *Request) { r.PublicKey = key(2).Public().(ed25519.PublicKey) },
	} {
		r := request(t, tok)
		spoil(r)
		// The thief signs with his own key what he has changed.
		thief := key(1)
		if name == "key" {
			thief = key(2)
		}
		r.Signature = ed25519.Sign(thief, r.signed())
		if name != "authority" {
			if verdict := r.Check([]trust.Fingerprint{ours()}, noon()); !verdict.OK() {
				t.Fatalf("%s: %v: the thief's own signature is good", name, verdict)
			}
		}
		claim, _ := r.Claim()
		if _, verdict := token.Redeem(record, claim, noon()); verdict != token.Wrong {
			t.Errorf("%s changed: token says %v, want %v", name, verdict, token.Wrong)
		}
	}
}

func TestRequestRefusals(t *testing.T) {
	authorities := []trust.Fingerprint{ours()}
	foreign := request(t, join(t, trust.Fingerprint{8}))
	if got := foreign.Check(authorities, noon()); got.Reason != ForeignAuthority {
		t.Errorf("token of another fleet: %v", got)
	}
	plain := request(t, nil)
	for after, want := range map[time.Duration]Reason{
		0: OK, MaxSkew: OK, -MaxSkew: OK, MaxSkew + 1: TooOld, -MaxSkew - 1: FromFuture, 1000 * time.Hour: TooOld,
	} {
		if got := plain.Check(nil, noon().Add(after)); got.Reason != want || got.Offset != -after {
			t.Errorf("after %v: %v, want %v", after, got, want)
		}
	}
	// A renewal's signature is no request's, whatever the fields.
	moved := request(t, nil)
	moved.Signature = renewal(t).Signature
	if got := moved.Check(authorities, noon()); got.Reason != BadSignature {
		t.Errorf("signature of a renewal: %v", got)
	}
	half := request(t, join(t, ours()))
	half.Proof = nil
	if got := half.Check(authorities, noon()); got.Reason != Malformed {
		t.Errorf("token without proof: %v", got)
	}
}

func TestEveryTamperedByteIsNoticed(t *testing.T) {
	whole := request(t, join(t, ours()))
	old := renewal(t)
	first, err1 := whole.Marshal()
	second, err2 := old.Marshal()
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	for i := range first {
		data := bytes.Clone(first)
		data[i] ^= 2
		if r, err := ParseRequest(data); err == nil && r.Check([]trust.Fingerprint{ours()}, noon()).OK() {
			t.Errorf("request, byte %d (%q in %q): accepted", i, first[i], first[max(0, i-20):i])
		}
		if _, err := ParseRequest(first[:i]); !errors.Is(err, ErrMalformed) {
			t.Errorf("request cut off at %d: %v", i, err)
		}
	}
	for i := range second {
		data := bytes.Clone(second)
		data[i] ^= 2
		if r, err := ParseRenewal(data); err == nil && r.Check([]trust.Fingerprint{ours()}, Known{Key: fingerprint(1)}, noon()).OK() {
			t.Errorf("renewal, byte %d: accepted", i)
		}
		if _, err := ParseRenewal(second[:i]); !errors.Is(err, ErrMalformed) {
			t.Errorf("renewal cut off at %d: %v", i, err)
		}
	}
}

func TestRenewal(t *testing.T) {
	sent := renewal(t)
	data, err := sent.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	r, err := ParseRenewal(data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sent, r); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for name, c := range map[string]struct {
		authorities []trust.Fingerprint
		known       Known
		after       time.Duration
		want        Reason
	}{
		"known":              {[]trust.Fingerprint{ours()}, Known{Key: fingerprint(1)}, 0, OK},
		"in an overlap":      {[]trust.Fingerprint{{1}, ours()}, Known{Key: fingerprint(1)}, 0, OK},
		"never seen":         {[]trust.Fingerprint{ours()}, Known{}, 0, UnknownWorker},
		"another key":        {[]trust.Fingerprint{ours()}, Known{Key: fingerprint(2)}, 0, WrongKey},
		"revoked":            {[]trust.Fingerprint{ours()}, Known{Key: fingerprint(1), Revoked: true}, 0, Revoked},
		"another fleet":      {[]trust.Fingerprint{{1}}, Known{Key: fingerprint(1)}, 0, ForeignAuthority},
		"replayed next hour": {[]trust.Fingerprint{ours()}, Known{Key: fingerprint(1)}, time.Hour, TooOld},
		"made in advance":    {[]trust.Fingerprint{ours()}, Known{Key: fingerprint(1)}, -time.Hour, FromFuture},
	} {
		if got := r.Check(c.authorities, c.known, noon().Add(c.after)); got.Reason != c.want {
			t.Errorf("%s: %v, want %v", name, got.Reason, c.want)
		}
	}
	// Who has the certificate only, which is public, has not the key.
	forged := *r
	forged.Nonce[0] ^= 1
	forged.Signature = ed25519.Sign(key(2), forged.signed())
	if got := forged.Check([]trust.Fingerprint{ours()}, Known{Key: fingerprint(1)}, noon()); got.Reason != BadSignature {
		t.Errorf("signed by another: %v", got.Reason)
	}
}

func TestMalformedRequests(t *testing.T) {
	good, err := request(t, nil).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"empty":          "",
		"not an object":  "[]",
		"version 2":      strings.Replace(string(good), `"version":1`, `"version":2`, 1),
		"unknown member": strings.Replace(string(good), `"version":1`, `"version":1,"admin":true`, 1),
		"something more": string(good) + " {}",
		"host name":      strings.Replace(string(good), `web-1`, `web\n1`, 1),
		"no host name":   strings.Replace(string(good), `web-1`, ``, 1),
		"label":          strings.Replace(string(good), `"a":"1"`, `"a b":"1"`, 1),
		"huge":           string(good) + strings.Repeat(" ", MaxBytes),
		"time":           strings.Replace(string(good), `"time_ms":`, `"time_ms":-`, 1),
		"distant time":   strings.Replace(string(good), `"time_ms":`, `"time_ms":99999`, 1),
	} {
		if _, err := ParseRequest([]byte(text)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: got %v, want ErrMalformed", name, err)
		}
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if err := new(Request).Sign(curve, nil, rand.Reader, noon()); err == nil {
		t.Errorf("signed with a key of another kind")
	}
}

func TestReasonsHaveNames(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range Reasons() {
		if seen[r.String()] || strings.Contains(r.String(), "(") {
			t.Errorf("%d: name %q", r, r)
		}
		seen[r.String()] = true
	}
	if !strings.HasPrefix(Reason(len(Reasons())).String(), "reason(") {
		t.Errorf("Reasons is not complete")
	}
}

func FuzzParse(f *testing.F) {
	first, _ := request(f, join(f, ours())).Marshal()
	second, _ := renewal(f).Marshal()
	f.Add(first)
	f.Add(second)
	f.Add([]byte(`{"version":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if r, err := ParseRequest(data); err == nil {
			again, err := r.Marshal()
			if err != nil {
				t.Fatalf("%q: %v", data, err)
			}
			same, err := ParseRequest(again)
			if err != nil || !bytes.Equal(same.signed(), r.signed()) {
				t.Errorf("%q: read again: %v", data, err)
			}
			r.Check([]trust.Fingerprint{ours()}, noon())
		}
		if r, err := ParseRenewal(data); err == nil {
			again, err := r.Marshal()
			if err != nil {
				t.Fatalf("%q: %v", data, err)
			}
			same, err := ParseRenewal(again)
			if err != nil || !bytes.Equal(same.signed(), r.signed()) {
				t.Errorf("%q: read again: %v", data, err)
			}
		}
	})
}
