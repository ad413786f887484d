package model

import "testing"

func TestIDTextRoundTrip(t *testing.T) {
	const text = "78f6ac6d-ec8d-44cf-abc8-584e4255e9d3"
	for _, spelling := range []string{text, "78F6AC6D-EC8D-44CF-ABC8-584E4255E9D3"} {
		id, err := ParseWorkerID(spelling)
		if err != nil || id.String() != text {
			t.Errorf("ParseWorkerID(%q) = %v, %v; want %s", spelling, id, err, text)
		}
		boot, err := ParseBootID(spelling)
		if err != nil || boot.String() != text {
			t.Errorf("ParseBootID(%q) = %v, %v; want %s", spelling, boot, err, text)
		}
	}
}

func TestIDRefusesWhatIsNoID(t *testing.T) {
	for _, text := range []string{
		"", "78f6ac6d", "78f6ac6dec8d44cfabc8584e4255e9d3",
		"78f6ac6d-ec8d-44cf-abc8-584e4255e9d", "78f6ac6d-ec8d-44cf-abc8-584e4255e9d30",
		"78f6ac6g-ec8d-44cf-abc8-584e4255e9d3", "78f6ac6d+ec8d-44cf-abc8-584e4255e9d3",
		"00000000-0000-0000-0000-000000000000",
	} {
		if id, err := ParseWorkerID(text); err == nil {
			t.Errorf("ParseWorkerID(%q) = %v, want an error", text, id)
		}
	}
}

func TestRandomIDsAreVersion4(t *testing.T) {
	var ones [16]byte
	for i := range ones {
		ones[i] = 0xff
	}
	if got, want := WorkerIDFrom(ones).String(), "ffffffff-ffff-4fff-bfff-ffffffffffff"; got != want {
		t.Errorf("WorkerIDFrom(ones) = %s, want %s", got, want)
	}
	if got, want := BootIDFrom([16]byte{}).String(), "00000000-0000-4000-8000-000000000000"; got != want {
		t.Errorf("BootIDFrom(zeros) = %s, want %s", got, want)
	}
}

func FuzzParseWorkerID(f *testing.F) {
	f.Add("78f6ac6d-ec8d-44cf-abc8-584e4255e9d3")
	f.Fuzz(func(t *testing.T, text string) {
		id, err := ParseWorkerID(text)
		if err != nil {
			return
		}
		again, err := ParseWorkerID(id.String())
		if err != nil || again != id {
			t.Errorf("%q parsed to %v, whose text parses to %v, %v", text, id, again, err)
		}
	})
}
