package store

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

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

// crashWorkers send at once: the first in order, the second two hours late, so
// that its samples take the way of late data.
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
	s, err := Open(config, Deps{Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Now: func() time.Time { return testNow }})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
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

// TestPowerCut opens what is left when everything that was not synced is gone:
// log files end where they were synced last, and the head's chunk files, which
// are never synced, do not exist.
func TestPowerCut(t *testing.T) {
	config := testConfig(t.TempDir())
	config.SyncInterval = 200 * time.Millisecond
	s := open(t, config)
	synced := map[string]int64{}
	var mu sync.Mutex
	note := func(path string) error {
		err := syncPath(path)
		info, statErr := os.Stat(path)
		mu.Lock()
		defer mu.Unlock()
		if statErr == nil && err == nil {
			synced[path] = info.Size()
		}
		return err
	}
	s.wal.syncFile, s.wbl.syncFile = note, note // before anything is dirty
	sessions := map[int]*Session{}
	spools := map[int]*spooler{}
	for worker := 1; worker <= crashWorkers; worker++ {
		sessions[worker], spools[worker] = openSession(t, s, testSource(byte(worker), 1)), newSpooler(t)
		spools[worker].schema(1, gauge("g", "a", "b"))
	}
	frames := 0
	write := func(n int) {
		for range n {
			for worker, sp := range spools {
				sp.frame(1, crashTime(worker, frames), crashValues(frames)...)
				send(t, sessions[worker], sp.drain()...)
			}
			frames++
		}
	}
	write(100)
	for worker, sp := range spools {
		awaitDurable(t, sessions[worker], sp.seq)
	}
	acked := spools[1].seq
	write(50)

	cut := t.TempDir()
	mu.Lock()
	copySynced(t, s, cut, synced)
	mu.Unlock()
	config.Dir = cut
	after := open(t, config)
	for worker := 1; worker <= crashWorkers; worker++ {
		checkStored(t, after, worker, acked)
	}
}

// copySynced copies the store as a power cut would leave it.
func copySynced(t *testing.T, s *Store, to string, synced map[string]int64) {
	t.Helper()
	dir := s.config.Dir
	copyFile := func(path string, size int64) {
		relative, err := filepath.Rel(dir, path)
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		target := filepath.Join(to, relative)
		if err := os.MkdirAll(filepath.Dir(target), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(target, b[:size], 0o640); err != nil {
			t.Fatal(err)
		}
	}
	// The index syncs for itself: what its readers see is on disk.
	err := s.index.db.View(func(tx *bbolt.Tx) error { return tx.CopyFile(filepath.Join(to, indexName), 0o640) })
	if err != nil {
		t.Fatal(err)
	}
	late := false
	for path, size := range synced {
		if _, err := strconv.Atoi(filepath.Base(path)); err != nil {
			continue // a folder
		}
		late = late || strings.Contains(path, wblName)
		copyFile(path, size)
	}
	if !late {
		t.Error("the log of late samples was never synced: the test does not test it")
	}
}
