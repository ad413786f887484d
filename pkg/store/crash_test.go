package store

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// crashDir, in the environment, makes the test binary the victim of a crash test.
const crashDir = "CLOUDLESS_STORE_CRASH_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		victim(dir)
	}
	os.Exit(m.Run())
}

// crashWorkers send at once: the first in time, the second two hours late.
const crashWorkers = 2

// crashFrames bounds a victim's life, in case nobody kills it.
const crashFrames = 20_000

// crashTime is the time of a frame, crashValues its row.
func crashTime(worker, frame int) time.Time {
	return after(frame - crashFrames - 7200*(worker-1))
}
func crashValues(frame int) []float64 { return []float64{float64(frame), float64(frame) / 3} }

// firstFrame is the sequence number of a worker's first frame, after a part and
// a schema.
const firstFrame = 3

// victim stores frames, telling what is acknowledged, until it is killed.
func victim(dir string) {
	config := testConfig(dir)
	s, err := Open(config, testDeps())
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	go func() {
		for { // passes all the time
			if err := s.Pass(); err != nil {
				fmt.Println("error", err)
				os.Exit(1)
			}
		}
	}()
	var all sync.WaitGroup
	for worker := 1; worker <= crashWorkers; worker++ {
		all.Go(func() {
			if err := crashWorker(s, worker); err != nil {
				fmt.Println("error", err)
				os.Exit(1)
			}
		})
	}
	all.Wait()
	os.Exit(1)
}

// crashWorker sends a worker's whole history from its first record on: what the
// store has is context.
func crashWorker(s *Store, worker int) error {
	session, err := s.OpenSession(testSource(byte(worker), 1))
	if err != nil {
		return err
	}
	go func() {
		for {
			seq, changed := session.Durable()
			fmt.Println("acked", worker, seq)
			<-changed
		}
	}()
	encoded, err := frame.AppendPart(nil, gauge("g", "a", "b"))
	if err != nil {
		return err
	}
	schema := frame.Schema{Parts: []frame.PartID{frame.PartIDOf(encoded)}}
	layout, err := frame.NewLayout([]model.Part{gauge("g", "a", "b")})
	if err != nil {
		return err
	}
	encoder := frame.NewEncoder(layout, schema.ID(), 10)
	records := []frame.Record{
		{Seq: 1, Kind: frame.KindPart, Payload: encoded},
		{Seq: 2, Kind: frame.KindSchema, Stream: 1, Payload: frame.AppendSchema(nil, schema)},
	}
	for i := range crashFrames {
		payload, _ := encoder.Append(nil, model.Millis(crashTime(worker, i).UnixMilli()), crashValues(i))
		records = append(records, frame.Record{Seq: uint64(firstFrame + i), Kind: frame.KindFrame, Stream: 1, Payload: payload})
	}
	for _, r := range records {
		if err := session.Append(r, frame.AppendRecord(nil, r)); err != nil {
			return err
		}
	}
	return nil
}

func TestKilledAtAnyPointWhatWasAckedIsStored(t *testing.T) {
	lives := 6
	if testing.Short() {
		lives = 2
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	acked := map[int]uint64{}
	for range lives {
		killVictim(t, dir, acked, random.IntN(60)+1)
		s := open(t, testConfig(dir))
		for worker := 1; worker <= crashWorkers; worker++ {
			checkStored(t, s, worker, acked[worker])
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if acked[1] < firstFrame || acked[2] < firstFrame {
		t.Errorf("acknowledged %v: the victims were killed before they did anything", acked)
	}
}

// killVictim runs a victim and kills it after so many acknowledgements, noting
// the highest of each worker.
func killVictim(t *testing.T, dir string, acked map[int]uint64, after int) {
	t.Helper()
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), crashDir+"="+dir)
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var worker int
		var seq uint64
		if n, _ := fmt.Sscanf(lines.Text(), "acked %d %d", &worker, &seq); n != 2 {
			t.Errorf("victim: %s", lines.Text())
			continue
		}
		acked[worker] = max(acked[worker], seq)
		if after--; after == 0 {
			_ = command.Process.Kill() // SIGKILL; what was printed before is still read
		}
	}
	_ = command.Wait() // the error is the kill
}

// checkStored proves that the resume point covers acked, and that every frame up
// to it is there, once.
func checkStored(t *testing.T, s *Store, worker int, acked uint64) {
	t.Helper()
	resume := openSession(t, s, testSource(byte(worker), 1)).Resume()
	if resume < acked {
		t.Errorf("worker %d: resume point %d, but %d was acknowledged", worker, resume, acked)
	}
	if resume < firstFrame {
		return
	}
	instance := fmt.Sprintf(`instance="host%d"`, worker)
	frames := int(resume - firstFrame + 1)
	seen := 0
	for text, points := range stored(t, s, named("g")) {
		if !strings.Contains(text, instance) {
			continue
		}
		seen++
		column := 0
		if strings.Contains(text, `dev="b"`) {
			column = 1
		}
		if len(points) < frames {
			t.Errorf("worker %d, column %d: %d samples, want at least %d", worker, column, len(points), frames)
			continue
		}
		for i, p := range points {
			if want := crashTime(worker, i); after(int(p.At)) != want || p.Value != crashValues(i)[column] {
				t.Fatalf("worker %d, column %d: sample %d is %+v, want %v at %s", worker, column, i, p, crashValues(i)[column], want)
			}
		}
	}
	if seen != 2 {
		t.Errorf("worker %d: %d series, want 2", worker, seen)
	}
}
