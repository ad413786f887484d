package collector

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store"
	"github.com/cloudless-fleet/cloudless/pkg/stream"
)

// doorOf is the door to an empty store.
func doorOf(t *testing.T, o *office) sessions {
	t.Helper()
	return sessions{revoked: func(stream.Peer) bool { return false }, store: openStore(t, storeIn(t)), contacts: newContacts(o.client(t), quiet(), time.Now),
		view: newFleetView(o.client(t), func(api.RegisteredWorker, time.Time) {}, quiet(), time.Now)}
}

func peer(n int) stream.Peer {
	return stream.Peer{Worker: id(n), Session: boot(1), Boot: boot(1), First: 1, Next: 100}
}

func TestWhoIsLetIn(t *testing.T) {
	nameless, pending := row(5, registered), row(6, model.Pending)
	nameless.Instance = ""
	bootless := row(8, registered)
	bootless.Boot = model.BootID{}
	rebooted := row(9, registered)
	rebooted.Boot = boot(2)
	o := newOffice(row(1, registered), row(2, suspect), row(3, expired), row(4, left), nameless, pending, bootless, rebooted)
	s := doorOf(t, o)
	f := func(n int, want string) {
		t.Helper()
		if err := s.Admit(t.Context(), peer(n)); (err == nil) != (want == "") {
			t.Errorf("worker %d: admitted with %v, want %q", n, err, want)
		}
		session, err := s.Open(t.Context(), peer(n))
		if want == "" {
			if err != nil {
				t.Fatalf("worker %d: got %v, want to be let in", n, err)
			}
			session.Close()
			return
		}
		refusal, ok := errors.AsType[*stream.Refusal](err)
		if !ok || refusal.Cause != stream.CauseUnknown || refusal.Permanent || refusal.RetryAfter != unknownRetry || refusal.Text != want {
			t.Errorf("worker %d: got %v, want %q", n, err, want)
		}
	}
	f(1, "")
	f(2, "")
	f(3, "the worker is expired")
	f(4, "the worker is left")
	f(5, "the worker has no name yet")
	f(6, "the worker is pending")
	f(7, "the worker is not registered")
	f(8, "the coordinator has admitted no process of this worker yet")
	f(9, "the coordinator has admitted another process of this worker")
	o.set(func() { o.trouble = away{} })
	f(1, "") // streams of known workers go on
	s.view = newFleetView(o.client(t), nobodyEnds(t), quiet(), time.Now)
	f(1, "the collector does not know the fleet yet: its coordinator does not answer")
}

// A process that was admitted a moment ago is let in, although the last poll told
// of the one before it.
func TestTheCoordinatorIsAskedBeforeAProcessIsRefused(t *testing.T) {
	o := newOffice(row(1, registered))
	s := doorOf(t, o)
	first, err := s.Open(t.Context(), peer(1))
	if err != nil {
		t.Fatal(err)
	}
	first.Close()
	rebooted := row(1, registered)
	rebooted.Boot = boot(2)
	o.write(rebooted)
	if err := s.Admit(t.Context(), stream.Peer{Worker: id(1), Session: boot(2), Boot: boot(2), First: 1}); err != nil {
		t.Errorf("got %v, want it admitted", err)
	}
	if err := s.Admit(t.Context(), peer(1)); err == nil {
		t.Errorf("the former process is admitted")
	}
}

// What an earlier process has left behind is delivered by the admitted one: it is
// judged, not the boot of the records.
func TestABacklogIsJudgedByItsProcess(t *testing.T) {
	s := doorOf(t, newOffice(row(1, registered)))
	p := peer(1)
	p.Boot, p.Backfill = boot(7), true
	if err := s.Admit(t.Context(), p); err != nil {
		t.Errorf("admitted with %v", err)
	}
	if err := second(s.Open(t.Context(), p)); err != nil {
		t.Errorf("opened with %v", err)
	}
	p.Session, p.Boot = boot(7), boot(1)
	if refusal, ok := errors.AsType[*stream.Refusal](s.Admit(t.Context(), p)); !ok || refusal.Cause != stream.CauseUnknown {
		t.Errorf("another process: got %v, want it refused", refusal)
	}
}

func second(_ stream.Session, err error) error { return err }

// A stretch that does not begin at 1 resumes within itself, and what goes before
// it is context.
func TestAStretchThatBeginsLater(t *testing.T) {
	s := doorOf(t, newOffice(row(1, registered)))
	p := peer(1)
	p.First = 4
	session, err := s.Open(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	if got := session.Resume(); got != 3 {
		t.Errorf("resumes after %d, want 3", got)
	}
	for i, record := range records(t, 3) {
		if err := session.Append(record, frame.AppendRecord(nil, record)); err != nil {
			t.Fatal(err)
		}
		if got := len(s.contacts.takeAll()); got != i/3 {
			t.Errorf("record %d: %d contacts, want %d", record.Seq, got, i/3)
		}
	}
	eventually(t, "all of it is durable", func() bool { seq, _ := session.Durable(); return seq == 5 })
}

func TestARevokedWorkerIsNotLetInWhateverTheRegisterSays(t *testing.T) {
	s := doorOf(t, newOffice(row(1, registered)))
	s.revoked = func(p stream.Peer) bool { return p.Worker == id(1) }
	refusal, ok := errors.AsType[*stream.Refusal](s.Admit(t.Context(), peer(1)))
	if !ok || refusal.Cause != stream.CauseRevoked || !refusal.Permanent {
		t.Errorf("got %v, want revoked for good", refusal)
	}
	if _, err := s.Open(t.Context(), peer(1)); err == nil {
		t.Errorf("opened")
	}
}

func TestAStoreThatIsClosed(t *testing.T) {
	s := doorOf(t, newOffice(row(1, registered)))
	if err := s.store.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := s.Open(t.Context(), peer(1))
	if refusal, ok := errors.AsType[*stream.Refusal](err); !ok || refusal.Cause != stream.CauseShutdown || refusal.Permanent {
		t.Errorf("got %v, want that the collector stops", err)
	}
}

// records are a part, a schema and frames of it, numbered from 1.
func records(t *testing.T, frames int) (all []frame.Record) {
	t.Helper()
	add := func(kind frame.Kind, payload []byte) {
		all = append(all, frame.Record{Seq: uint64(len(all) + 1), Kind: kind, Stream: 1, Payload: payload})
	}
	part := model.Part{Collector: "load", Families: []model.Family{{Name: "node_load1", Type: model.Gauge, Series: []model.Labels{{}}}}}
	encoded, err := frame.AppendPart(nil, part)
	if err != nil {
		t.Fatal(err)
	}
	layout, err := frame.NewLayout([]model.Part{part})
	if err != nil {
		t.Fatal(err)
	}
	schema := frame.Schema{Parts: []frame.PartID{frame.PartIDOf(encoded)}}
	add(frame.KindPart, encoded)
	add(frame.KindSchema, frame.AppendSchema(nil, schema))
	encoder, begun := frame.NewEncoder(layout, schema.ID(), 10), model.Millis(time.Now().UnixMilli())
	for i := range frames {
		payload, _ := encoder.Append(nil, begun+model.Millis(i), []float64{float64(i)})
		add(frame.KindFrame, payload)
	}
	return all
}

func TestFramesThatAreStoredAreContacts(t *testing.T) {
	s := doorOf(t, newOffice(row(1, registered)))
	var session stream.Session
	f := func(contacts int, records ...frame.Record) {
		t.Helper()
		for _, record := range records {
			if err := session.Append(record, frame.AppendRecord(nil, record)); err != nil {
				t.Fatal(err)
			}
		}
		if got := len(s.contacts.takeAll()); got != contacts {
			t.Errorf("%d contacts, want %d", got, contacts)
		}
	}
	open := func() {
		t.Helper()
		var err error
		if session, err = s.Open(t.Context(), peer(1)); err != nil {
			t.Fatal(err)
		}
	}
	all := records(t, 3)
	open()
	f(0, all[:2]...)
	f(1, all[2:4]...)
	session.Close()
	open() // what was stored is context now
	if got := session.Resume(); got != 4 {
		t.Fatalf("resumes after %d, want 4", got)
	}
	f(0, all[:4]...)
	f(1, all[4])
	session.Close()
}

func TestARecordThatIsRefused(t *testing.T) {
	s := doorOf(t, newOffice(row(1, registered)))
	session, err := s.Open(t.Context(), peer(1))
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	bad := frame.Record{Seq: 1, Kind: frame.KindFrame, Stream: 1, Payload: []byte("?")}
	refusal, ok := errors.AsType[*stream.Refusal](session.Append(bad, nil))
	if !ok || !refusal.Permanent || refusal.Cause != stream.CauseRecord {
		t.Errorf("got %v, want the record given up", refusal)
	}
	if got := len(s.contacts.takeAll()); got != 0 {
		t.Errorf("a refused frame gave %d contacts", got)
	}
}

func TestWhatWorkersAreTold(t *testing.T) {
	want := map[store.Cause]stream.Cause{
		store.CauseTooManySeries: stream.CauseLimit, store.CauseTooManyNew: stream.CauseLimit, store.CauseTooManyStreams: stream.CauseLimit,
		store.CauseTooManyWorkers: stream.CauseLimit, store.CausePartsFull: stream.CauseLimit, store.CauseDiskFull: stream.CauseFull,
		store.CauseFuture: stream.CauseFuture, store.CauseSuperseded: stream.CauseReplaced, store.CauseClosed: stream.CauseShutdown,
		store.CauseFailed: stream.CauseInternal, store.CauseBadSource: stream.CauseIdentity,
		store.CauseUnknownPart: stream.CauseRecord, store.CauseUnknownSchema: stream.CauseRecord, store.CauseBadPart: stream.CauseRecord,
		store.CauseBadSchema: stream.CauseRecord, store.CauseBadFrame: stream.CauseRecord, store.CauseBadRecord: stream.CauseRecord,
		store.CauseNoBase: stream.CauseRecord, store.CauseOrder: stream.CauseRecord,
		store.CauseTooManyHoles: stream.CauseLimit, store.CauseTooOld: stream.CauseOther, // never refused: the store counts them
	}
	for _, cause := range store.Causes() {
		told, thoughtOf := want[cause]
		if !thoughtOf {
			t.Errorf("%v: nobody has thought of what a worker is told", cause)
		}
		for _, refused := range []store.Refusal{{}, {Temporary: true}, {Skipped: true}} {
			refused.Cause, refused.Detail = cause, "why"
			wait := limitRetry
			if refused.Temporary || refused.Skipped {
				wait = 0
			}
			got := refusalOf(&refused)
			if diff := cmp.Diff(&stream.Refusal{Cause: told, Text: cause.String() + ": why", Permanent: refused.Skipped, RetryAfter: wait}, got); diff != "" {
				t.Errorf("%v, temporary %v, skipped %v (-want +got):\n%s", cause, refused.Temporary, refused.Skipped, diff)
			}
		}
	}
	fault := errors.New("fault")
	if got := refusalOf(fault); !errors.Is(got, fault) {
		t.Errorf("another error: got %v, want it as it is", got)
	}
}
