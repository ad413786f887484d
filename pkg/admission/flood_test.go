package admission

import (
	"crypto/ed25519"
	"encoding/binary"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust/pairing"
	"github.com/cloudless-fleet/cloudless/pkg/trust/token"
)

// 100,000 forged requests within 100 s, from as many networks as one likes:
// memory, disk and work stay bounded, a machine that honestly waits stays on the
// list, and one with a token gets in.
func TestAFloodOfForgedRequests(t *testing.T) {
	cfg := DefaultConfig()
	cfg.MaxPending = 256
	o := newOffice(t, cfg)
	codes := 0
	o.codeOf = func(key ed25519.PublicKey) pairing.Code {
		codes++
		return pairing.Code{binary.BigEndian.Uint16(key), binary.BigEndian.Uint16(key[2:])}
	}
	honest, newer, join := machineOf(-1), machineOf(-2), o.token(TokenSpec{Uses: 2})
	honest.from, newer.from = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	o.member(machineOf(-3))
	o.want(o.enrol(honest, nil), OutcomePending, "")
	unknown, err := token.New("lab", o.deps.Authority.Fingerprint(), nil, &countingReader{})
	if err != nil {
		t.Fatal(err)
	}
	spoilt := machineOf(1).request(t, nil, o.time())
	spoilt.Hostname = "changed"
	before := heap()
	const forged, perSecond = 100_000, 1000
	lastHeard := o.time()
	for n := range forged {
		from := netip.AddrFrom4([4]byte{byte(n >> 16), byte(n >> 8), byte(n), 7})
		if n%3 == 0 {
			from = netip.AddrFrom16([16]byte{0x20, 1, byte(n >> 16), byte(n >> 8), byte(n)})
		}
		switch {
		case n%20 == 0: // a new machine each time
			m := machineOf(n)
			m.from = from
			o.enrol(m, nil)
		case n%97 == 0: // one who guesses tokens
			m := machineOf(n)
			m.from = from
			o.enrol(m, &unknown)
		default:
			o.Enrol(spoilt, from, model.WorkerID{})
		}
		o.pass(time.Second / perSecond)
		if o.time().Sub(lastHeard) > 10*time.Second && o.enrol(honest, nil).Outcome == OutcomePending {
			lastHeard = o.time()
		}
		if n%(30*perSecond) == 0 {
			if err := o.save(true); err != nil {
				t.Fatal(err)
			}
		}
		if waiting := o.book.waiting.Len(); waiting > cfg.MaxPending {
			t.Fatalf("%d are pending", waiting)
		}
	}
	if grown := heap() - before; grown > 32<<20 {
		t.Errorf("%d MiB of memory", grown>>20)
	}
	if most := newcomerBurst + newcomerRate*(forged/perSecond+1); codes > most {
		t.Errorf("%d pairing codes, want at most %d", codes, most)
	}
	if len(o.limits.bySource) > maxSources || len(o.book.sources) > cfg.MaxPending || len(o.Members()) != 1 {
		t.Errorf("%d rates, %d networks, %d members", len(o.limits.bySource), len(o.book.sources), len(o.Members()))
	}
	s := o.Stats()
	judged := s.Enrolments["pending"] + s.Enrolments["bad_signature"] + s.Enrolments["wrong_token"] + s.Enrolments["full"]
	if most := uint64(cfg.EnrolRate * (forged/perSecond + 2)); judged > most || s.Evicted == 0 {
		t.Errorf("%d were judged, want at most %d; %v", judged, most, s)
	}
	if o.book.find(honest.public()) == nil {
		t.Error("the honest machine was forgotten")
	}
	admitted := false
	for range 10 { // once a second, as the flood goes on
		for range perSecond {
			o.Enrol(spoilt, netip.MustParseAddr("203.0.113.9"), model.WorkerID{})
		}
		admitted = admitted || o.enrol(newer, join).Outcome == OutcomeAdmitted
		o.pass(time.Second)
	}
	if !admitted {
		t.Error("the machine with a token was not let in")
	}
	if err := o.save(true); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(o.dir, FileName))
	if err != nil || info.Size() > 8<<20 {
		t.Errorf("%d MiB of disk, %v", info.Size()>>20, err)
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func BenchmarkKey(b *testing.B) {
	const members = 100_000
	ids, d := make([]model.WorkerID, members), &Desk{}
	all := make(map[model.WorkerID]*member, members)
	for i := range ids {
		ids[i] = testID(i)
		all[ids[i]] = &member{Member: Member{ID: ids[i], Key: make(ed25519.PublicKey, ed25519.PublicKeySize)}}
	}
	d.keys.fill(all)
	b.Run("one", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if d.Key(ids[i%members]) == nil {
				b.Fatal("unknown")
			}
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for i := 0; pb.Next(); i++ {
				d.Key(ids[i%members])
			}
		})
	})
	b.Run("put", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			d.keys.put(ids[i%members], all[ids[i%members]].Key)
		}
	})
}

func TestKeyAllocatesNothing(t *testing.T) {
	o := newOffice(t, testConfig())
	m := machineOf(1)
	o.adoptForTest(m)
	if n := testing.AllocsPerRun(100, func() { o.Key(m.id); o.Key(testIDs[0]) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

var testIDs = [1]model.WorkerID{{1}}

// BenchmarkKeepAlive is a keep-alive of one of 20,000 members.
func BenchmarkKeepAlive(b *testing.B) {
	o := newOffice(b, testConfig())
	const members = 20_000
	process := func(i int) Process {
		return Process{Worker: testIDAt(i), Boot: bootOf("X"), Body: bodyOf("a"), Bundle: "digest", Lease: lease}
	}
	for i := range members {
		m := machine{id: testIDAt(i), key: machineOf(0).key, name: "web"}
		o.adoptForTest(m)
		o.Attach(process(i))
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if ok, _ := o.KeepAlive(process(i % members)); !ok {
			b.Fatal("not admitted")
		}
	}
}

func testIDAt(i int) model.WorkerID {
	var id model.WorkerID
	binary.BigEndian.PutUint64(id[:], uint64(i+1)*0x9e3779b97f4a7c15)
	return id
}

// BenchmarkEnrol is a first enrolment by token, with its write.
func BenchmarkEnrol(b *testing.B) {
	cfg := testConfig()
	cfg.MaxMembers = mostMembers
	o := newOffice(b, cfg)
	var join *token.Token
	for i := 0; b.Loop(); i++ {
		if i%token.MaxUses == 0 {
			join = o.token(TokenSpec{Uses: token.MaxUses})
		}
		o.want(o.enrol(machineOf(i), join), OutcomeAdmitted, "")
	}
}
