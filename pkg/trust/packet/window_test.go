package packet

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"
)

func window(t testing.TB, perSender, senders int) *Window {
	t.Helper()
	w, err := NewWindow(WindowConfig{Skew: time.Minute, PerSender: perSender, Senders: senders})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestWindowStory(t *testing.T) {
	w := window(t, 3, 2)
	sec := func(n int) time.Time { return noon().Add(time.Duration(n) * time.Second) }
	for i, step := range []struct {
		sender, nonce byte
		at, now       int // seconds after noon
		want          Reason
	}{
		{1, 1, 0, 0, OK},
		{1, 1, 0, 0, Replayed},
		{1, 2, 0, 0, OK}, // of the same moment
		{1, 1, 1, 1, OK}, // the same nonce at another time is another packet
		{1, 9, -61, 0, TooOld},
		{1, 9, 61, 0, FromFuture},
		{1, 4, 2, 2, OK},     // one too many: both of second 0 go
		{1, 1, 0, 2, TooOld}, // and stay out
		{1, 7, 0, 2, TooOld}, // with all of their time
		{1, 1, 1, 2, Replayed},
		{1, 5, 30, 2, OK}, // the sender's clock was set forward
		{1, 6, 3, 3, OK},  // and back
		{2, 1, 3, 3, OK},
		{3, 1, 3, 3, WindowFull},
		{3, 1, 64, 64, OK},    // the second has been silent for long
		{2, 1, 3, 63, TooOld}, // it is still remembered that there was something
	} {
		got := w.Accept(Sender{step.sender}, Nonce{step.nonce}, sec(step.at), sec(step.now))
		if got.Reason != step.want || got.Offset != time.Duration(step.at-step.now)*time.Second {
			t.Errorf("step %d: %v, offset %v; want %v", i, got.Reason, got.Offset, step.want)
		}
		if w.Senders() > 2 {
			t.Errorf("step %d: %d senders", i, w.Senders())
		}
	}
}

// Whatever happens, clocks that jump included: nothing is accepted twice, and
// nothing grows.
func TestWindowNeverAcceptsTwice(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		w := window(t, 1+random.IntN(4), 1+random.IntN(4))
		type packet struct {
			sender Sender
			nonce  Nonce
			at     int64
		}
		var sent []packet
		accepted := map[packet]bool{}
		now := noon().UnixMilli()
		for n := range uint64(2000) {
			now += random.Int64N(5000)
			if random.IntN(50) == 0 {
				now += random.Int64N(400_000) - 200_000
			}
			p := packet{sender: Sender{byte(random.IntN(6))}, at: now + random.Int64N(140_000) - 70_000}
			binary.BigEndian.PutUint64(p.nonce[:], n)
			if len(sent) > 0 && random.IntN(2) == 0 {
				p = sent[max(0, len(sent)-1-random.IntN(40))]
			}
			sent = append(sent, p)
			if w.Accept(p.sender, p.nonce, time.UnixMilli(p.at), time.UnixMilli(now)).OK() {
				if accepted[p] {
					t.Fatalf("packet %v accepted twice", p)
				}
				accepted[p] = true
			}
			for _, h := range w.senders {
				if len(h.seen) > w.cfg.PerSender {
					t.Fatalf("%d packets of one sender", len(h.seen))
				}
			}
			if len(w.senders) > w.cfg.Senders {
				t.Fatalf("%d senders", len(w.senders))
			}
		}
		if len(accepted) == 0 {
			t.Error("nothing was accepted")
		}
	}
}

func TestHonestSendersGetThrough(t *testing.T) {
	w, err := NewWindow(DefaultWindowConfig())
	if err != nil {
		t.Fatal(err)
	}
	var n uint64
	for now := noon(); now.Before(noon().Add(time.Hour)); now = now.Add(10 * time.Second) {
		for sender := range byte(20) {
			var nonce Nonce
			n++
			binary.BigEndian.PutUint64(nonce[:], n)
			offset := time.Duration(int(sender)-10) * 30 * time.Second // up to five minutes
			if got := w.Accept(Sender{sender}, nonce, now.Add(offset), now); !got.OK() || got.Offset != offset {
				t.Fatalf("sender %d at %v: %v, offset %v", sender, now, got.Reason, got.Offset)
			}
		}
	}
}

func TestWindowConfig(t *testing.T) {
	for _, c := range []WindowConfig{{}, {time.Millisecond, 1, 1}, {2 * time.Hour, 1, 1}, {time.Minute, 0, 1}, {time.Minute, 1, 0}} {
		if _, err := NewWindow(c); err == nil {
			t.Errorf("%+v: accepted", c)
		}
	}
}

func BenchmarkWindow(b *testing.B) {
	w, err := NewWindow(DefaultWindowConfig())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	var n uint64
	for b.Loop() {
		n++
		var sender Sender
		var nonce Nonce
		binary.BigEndian.PutUint64(sender[:], n%100_000)
		binary.BigEndian.PutUint64(nonce[:], n)
		now := noon().Add(time.Duration(n) * 100 * time.Microsecond)
		w.Accept(sender, nonce, now, now)
	}
}
