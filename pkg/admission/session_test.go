package admission

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

const lease = 30 * time.Second

func start() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

// A script is a list of moments, one a line:
//
//	TIME  attach BOOT BODY | detach CONNECTION | keep BOOT BODY | leave BOOT | restart | pass  : NEWS, NEWS
//
// The first connection of process X is called X, the second X2. NEWS is a
// connection and what it is told. A line "BOOT@BODY" says who has the session;
// "-" that he has said goodbye. Waiting ends at its time without a line, and its
// news are expected on the next one.
type play struct {
	t     *testing.T
	s     session
	now   time.Time
	seats map[seat]string
	names map[string]seat
	conns map[string]int
	news  []string
}

func newPlay(t *testing.T) *play {
	return &play{t: t, now: start(), seats: map[seat]string{}, names: map[string]seat{}, conns: map[string]int{}}
}

func bootOf(name string) model.BootID {
	return model.BootID{name[0], 1}
}

func bodyOf(name string) trust.Body { return trust.Body{name[0]} }

func (p *play) step(e sessionEvent) {
	var actions []sessionAction
	p.s, actions = nextSession(p.s, e, p.now)
	for _, a := range actions {
		p.news = append(p.news, p.seats[a.seat]+" "+a.Kind.String())
	}
}

func (p *play) passUntil(at time.Time) {
	for {
		due, ok := p.s.deadline()
		if !ok || due.After(at) {
			p.now = at
			return
		}
		p.now = due
		p.step(sessionEvent{what: timePassed})
		if again, still := p.s.deadline(); still && !again.After(due) {
			p.t.Fatalf("deadline %v did nothing: %+v", due.Sub(start()), p.s)
		}
	}
}

func (p *play) line(text string) {
	p.t.Helper()
	if who, body, isState := strings.Cut(strings.TrimSpace(text), "@"); isState {
		got := fmt.Sprintf("%c@%c", max(p.s.boot[0], '-'), max(p.s.bound[0], '-'))
		if p.s.left {
			got += " -"
		}
		if got != who+"@"+body {
			p.t.Errorf("%s: has %s", text, got)
		}
		return
	}
	said, want, _ := strings.Cut(text, ":")
	words := strings.Fields(said)
	after, err := time.ParseDuration(words[0])
	if err != nil {
		p.t.Fatal(err)
	}
	p.news = nil
	p.passUntil(start().Add(after))
	switch words[1] {
	case "attach":
		p.conns[words[2]]++
		name, number := words[2], p.conns[words[2]]
		if number > 1 {
			name = fmt.Sprint(name, number)
		}
		s := seat(len(p.seats) + 1)
		p.seats[s], p.names[name] = name, s
		p.step(sessionEvent{attached, newcomer{seat: s, boot: bootOf(words[2]), body: bodyOf(words[3]), lease: lease}})
	case "detach":
		p.step(sessionEvent{detached, newcomer{seat: p.names[words[2]]}})
	case "keep":
		p.step(sessionEvent{keptAlive, newcomer{boot: bootOf(words[2]), body: bodyOf(words[3]), lease: lease}})
	case "leave":
		p.step(sessionEvent{goodbye, newcomer{boot: bootOf(words[2])}})
	case "restart":
		m := member{Member: Member{Key: make([]byte, 32)}, session: p.s}
		stored := storedMemberOf(&m)
		p.s = stored.member().session
		p.s.heard = p.now
	case "pass":
	default:
		p.t.Fatalf("line %q", text)
	}
	if got := strings.Join(p.news, ", "); got != strings.TrimSpace(want) {
		p.t.Errorf("%s\n  got %s", text, got)
	}
}

func TestSessions(t *testing.T) {
	for name, script := range map[string]string{
		"the first process": `
			0s attach X a : X admitted
			X@a`,
		"a process comes back by another connection": `
			0s attach X a : X admitted
			5s detach X   :
			9s attach X a : X2 admitted
			X@a`,
		"a process comes back before its old connection is known to be dead": `
			0s attach X a : X admitted
			9s attach X a : X replaced, X2 admitted
			9s detach X   :
			10s attach Y a : Y wait
			X@a`,
		"restart after goodbye": `
			0s attach X a : X admitted
			9s leave X    :
			X@a -
			9s attach Y a : Y admitted
			Y@a
			9s detach X   :
			19s keep Y a  :
			Y@a`,
		"restart after goodbye, the connection still open": `
			0s attach X a : X admitted
			9s attach Y a : Y wait
			10s leave X   : Y admitted
			Y@a`,
		"a goodbye that was thought better of": `
			0s attach X a : X admitted
			9s leave X    :
			9s detach X   :
			12s attach X a : X2 admitted
			X@a`,
		"restart after a crash": `
			0s attach X a : X admitted
			9s detach X   :
			10s attach Y a : Y admitted
			Y@a`,
		"restart after a crash, seen late": `
			0s attach X a : X admitted
			8s attach Y a : Y wait
			9s detach X   : Y admitted
			Y@a`,
		"power cut: the connection hangs": `
			0s  attach X a : X admitted
			10s keep X a   :
			25s attach Y a : Y wait
			39s pass       :
			40s pass       : X replaced, Y admitted
			45s detach X   :
			Y@a`,
		"power cut, and the machine was off for longer than its lease": `
			0s  attach X a : X admitted
			10s keep X a   :
			60s attach Y a : X replaced, Y admitted
			Y@a`,
		"power cut, a last word on its way": `
			0s  attach X a : X admitted
			20s attach Y a : Y wait
			21s keep X a   :
			51s pass       : X replaced, Y admitted
			Y@a`,
		"a clone with another body": `
			0s  attach X a : X admitted
			10s keep X a   :
			12s attach Y b : Y rekey
			20s keep X a   :
			21s attach Y b : Y2 rekey
			X@a`,
		"a clone of a running machine, process and all": `
			0s  attach X a : X admitted
			12s attach X b : X2 rekey
			20s keep X a   :
			X@a`,
		"a clone comes while the original reconnects": `
			0s  attach X a : X admitted
			10s detach X   :
			11s attach Y b : Y wait
			13s attach X a : X2 admitted
			20s keep X a   :
			23s keep X a   : Y rekey
			X@a`,
		"a clone comes while the original restarts": `
			0s  attach X a : X admitted
			10s leave X    :
			11s attach Y b : Y wait
			13s attach Z a : Z admitted, Y rekey
			Z@a`,
		"a clone with an equal body": `
			0s  attach X a : X admitted
			12s attach Y a : Y wait
			20s keep X a   :
			30s keep X a   : Y rekey
			33s attach Y a : Y2 rekey
			X@a`,
		"a clone with an equal body, when the original's connection was cut": `
			0s  attach X a : X admitted
			12s detach X   :
			13s attach Y a : Y admitted
			15s attach X a : X2 rekey
			Y@a`,
		"several clones with equal bodies": `
			0s  attach X a : X admitted
			12s attach Y a : Y wait
			13s attach Z a : Z wait
			20s keep X a   :
			30s keep X a   : Y rekey, Z rekey
			X@a`,
		"two with an equal body wait after a power cut": `
			0s  attach X a : X admitted
			5s  attach Y a : Y wait
			6s  attach Z a : Z wait
			31s keep Y a   : X replaced, Y admitted
			41s keep Y a   : Z rekey
			Y@a`,
		"a superseded process comes back": `
			0s  attach X a : X admitted
			9s  detach X   :
			10s attach Y a : Y admitted
			12s attach X a : X2 rekey
			20s keep Y a   :
			Y@a`,
		"a superseded process comes back when its successor is gone: a snapshot": `
			0s   attach X a : X admitted
			9s   leave X    :
			10s  attach Y a : Y admitted
			20s  detach Y   :
			100s attach X a : X2 admitted
			X@a`,
		"the original was off for a week: its machine was rebuilt": `
			0s     attach X a : X admitted
			10s    leave X    :
			168h   attach Y b : Y rebind, Y admitted
			Y@b`,
		"the original comes back to a fleet where another machine has its place": `
			0s        attach X a : X admitted
			10s       leave X    :
			168h      attach Y b : Y rebind, Y admitted
			168h0m10s keep Y b   :
			168h0m20s attach X a : X2 rekey
			168h0m20s attach Z a : Z rekey
			Y@b`,
		"a board was replaced in less than a lease": `
			0s  attach X a : X admitted
			10s leave X    :
			20s attach Y b : Y wait
			39s pass       :
			40s pass       : Y rebind, Y admitted
			Y@b`,
		"hung up, and another machine takes over": `
			0s  attach X a : X admitted
			29s attach Y b : Y rekey
			30s attach Z b : X replaced, Z rebind, Z admitted
			Z@b`,
		"one waits for another who waits on the old machine": `
			0s  attach X a : X admitted
			10s detach X   :
			11s attach Y b : Y wait
			12s attach Z b : Z wait
			30s pass       : Y rebind, Y admitted
			45s keep Y b   : Z rekey
			Y@b`,
		"on a tie the same machine has its place": `
			0s  attach X a : X admitted
			1s  keep X a   :
			2s  restart    :
			3s  attach Y b : Y wait
			4s  attach Z a : Z wait
			17s pass       : Z admitted, Y rekey
			Z@a`,
		"the coordinator restarts: sessions attach again": `
			0s  attach X a : X admitted
			10s restart    :
			X@a
			12s attach X a : X2 admitted
			20s keep X a   :
			X@a`,
		"the coordinator restarts: keep-alives come first": `
			0s  attach X a : X admitted
			10s restart    :
			14s keep X a   :
			15s attach Y a : Y wait
			28s pass       :
			29s pass       : Y admitted
			Y@a`,
		"the coordinator restarts while the machine does": `
			0s  attach X a : X admitted
			10s restart    :
			12s attach Y a : Y wait
			25s pass       : Y admitted
			Y@a`,
		"the coordinator restarts: a goodbye is remembered": `
			0s  attach X a : X admitted
			10s leave X    :
			11s restart    :
			12s attach Y a : Y admitted
			Y@a`,
		"the coordinator restarts: who is superseded is remembered": `
			0s  attach X a : X admitted
			5s  detach X   :
			6s  attach Y a : Y admitted
			10s restart    :
			12s attach Y a : Y2 admitted
			13s attach X a : X2 rekey
			Y@a`,
		"the coordinator restarts: a clone is faster than the original": `
			0s  attach X a : X admitted
			10s restart    :
			11s attach Y b : Y wait
			13s attach X a : X2 admitted
			22s keep X a   : Y rekey
			X@a`,
		"one who waits reconnects and keeps his place": `
			0s  attach X a : X admitted
			5s  attach Y a : Y wait
			9s  attach Y a : Y replaced, Y2 wait
			9s  detach Y   :
			16s keep X a   : Y2 rekey
			X@a`,
		"one who waits goes away": `
			0s  attach X a : X admitted
			5s  attach Y a : Y wait
			6s  detach Y   :
			7s  detach X   :
			X@a`,
		"one who waits says goodbye": `
			0s  attach X a : X admitted
			5s  attach Y a : Y wait
			6s  leave Y    :
			7s  detach X   :
			X@a`,
		"too many wait": `
			0s attach X a : X admitted
			1s attach A a : A wait
			1s attach B a : B wait
			1s attach C a : C wait
			1s attach D a : D wait
			1s attach E a : A replaced, E wait
			2s detach X   : B admitted
			B@a`,
		"keep-alives of others do not count": `
			0s  attach X a : X admitted
			5s  attach Y a : Y wait
			29s keep Y a   :
			29s keep X b   :
			30s pass       : X replaced, Y admitted
			Y@a`,
		"a keep-alive without its connection counts": `
			0s  attach X a : X admitted
			5s  detach X   :
			6s  keep X a   :
			7s  attach Y a : Y wait
			16s keep X a   :
			26s keep X a   : Y rekey
			X@a`,
		"a goodbye that nobody asked for": `
			0s leave X    :
			1s attach X a : X admitted
			2s leave Y    :
			3s attach Y a : Y wait
			X@a`,
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlay(t)
			for line := range strings.SplitSeq(strings.TrimSpace(script), "\n") {
				p.line(strings.TrimSpace(line))
			}
		})
	}
}

// The clock of the coordinator is set back by an hour: nobody is thrown out, and
// nobody waits for an hour.
func TestSessionsWhenTimeRunsBackwards(t *testing.T) {
	p := newPlay(t)
	p.line("0s attach X a : X admitted")
	p.line("1h keep X a :")
	p.now = start().Add(time.Second)
	p.step(sessionEvent{attached, newcomer{seat: 99, boot: bootOf("Y"), body: bodyOf("a"), lease: lease}})
	if due, ok := p.s.deadline(); !ok || !due.Equal(p.now.Add(lease)) {
		t.Errorf("waits until %v, %v; want a lease from now, %v", due, ok, p.now.Add(lease))
	}
}

// Whatever happens: one process has the session, bounds hold, nobody waits whom
// nothing will ever let in, a state that was given away is not changed, and each
// connection hears of its end at most once.
func TestSessionsHoldTheirInvariants(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for run := range 300 {
		var s session
		now := start()
		open := map[seat]newcomer{}
		ended := map[seat]bool{}
		var last seat
		for step := range 200 {
			now = now.Add(time.Duration(random.Int64N(int64(12 * time.Second))))
			n := newcomer{boot: model.BootID{byte('A' + random.IntN(5))}, body: trust.Body{byte('a' + random.IntN(3))}, lease: lease}
			e := sessionEvent{happening(random.IntN(int(timePassed) + 1)), n}
			switch e.what {
			case attached:
				last++
				e.seat = last
				open[last] = e.newcomer
			case detached:
				for at := range open {
					e.seat = at
				}
				delete(open, e.seat)
			}
			before := s
			before.past, before.wait = slices.Clone(s.past), slices.Clone(s.wait)
			was := s
			next, actions := nextSession(s, e, now)
			if !reflect.DeepEqual(was, before) {
				t.Fatalf("run %d step %d: the state that was given has changed", run, step)
			}
			s = next
			for _, a := range actions {
				if ended[a.seat] {
					t.Fatalf("run %d step %d: connection %d is told %v after its end", run, step, a.seat, a.Kind)
				}
				ended[a.seat] = a.Kind.Final()
				if a.Kind == NewsAdmitted && (s.seat != a.seat || s.link != linkOpen) {
					t.Fatalf("run %d step %d: connection %d was admitted, %d has the session", run, step, a.seat, s.seat)
				}
			}
			if len(s.past) > maxPast || len(s.wait) > maxWaiting || slices.Contains(s.past, s.boot) {
				t.Fatalf("run %d step %d: %+v", run, step, s)
			}
			if s.link == linkOpen && ended[s.seat] {
				t.Fatalf("run %d step %d: the session is at a connection that was told its end", run, step)
			}
			for _, w := range s.wait {
				if ended[w.seat] {
					t.Fatalf("run %d step %d: %d waits after its end", run, step, w.seat)
				}
			}
			if due, ok := s.deadline(); ok && due.After(now.Add(lease)) {
				t.Fatalf("run %d step %d: waits until %v from now", run, step, due.Sub(now))
			}
		}
	}
}
