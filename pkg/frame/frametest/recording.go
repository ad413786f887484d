// Package frametest gives tests and benchmarks real data: a recording of one
// host and a fleet of hosts made from it.
package frametest

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// node is ten minutes of a two-core host, one row a second. Its form, little
// endian:
//
//	n uint32 | n names, each length uint32 and text | rows of n float64
//
//go:embed testdata/node-1s.bin.gz
var node []byte

// Recording is a run of rows of one schema.
type Recording struct {
	// Parts are the series, grouped by the collector that reads them.
	Parts []model.Part
	// Rows are the values, one column per series in the order of Parts.
	Rows [][]float64
	// Every is the time from row to row in milliseconds.
	Every model.Millis
	// Start is the time of the first row.
	Start model.Millis
}

// Node returns the recording of a real host: 620 series in 37 parts, 600 rows
// one second apart. Each call reads it anew: the caller owns it.
func Node() (*Recording, error) {
	unzip, err := gzip.NewReader(bytes.NewReader(node))
	if err != nil {
		return nil, fmt.Errorf("open recording: %w", err)
	}
	raw, err := io.ReadAll(unzip)
	if err != nil {
		return nil, fmt.Errorf("read recording: %w", err)
	}
	names, rows, err := parse(raw)
	if err != nil {
		return nil, fmt.Errorf("recording: %w", err)
	}
	parts, err := group(names)
	if err != nil {
		return nil, fmt.Errorf("recording: %w", err)
	}
	return &Recording{Parts: parts, Rows: rows, Every: 1000, Start: startOf(names, rows)}, nil
}

// startOf is the host's own clock in the first row.
func startOf(names []string, rows [][]float64) model.Millis {
	for i, name := range names {
		if name == "node_time_seconds" {
			return model.Millis(rows[0][i] * 1000)
		}
	}
	return 0
}

var errCut = errors.New("cut off")

func parse(b []byte) (names []string, rows [][]float64, err error) {
	if len(b) < 4 {
		return nil, nil, errCut
	}
	n := int(binary.LittleEndian.Uint32(b))
	b = b[4:]
	for range n {
		if len(b) < 4 || len(b)-4 < int(binary.LittleEndian.Uint32(b)) {
			return nil, nil, errCut
		}
		size := int(binary.LittleEndian.Uint32(b))
		names = append(names, string(b[4:4+size]))
		b = b[4+size:]
	}
	if n == 0 || len(b)%(8*n) != 0 {
		return nil, nil, errCut
	}
	for len(b) > 0 {
		row := make([]float64, n)
		for i := range row {
			row[i] = math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:]))
		}
		rows = append(rows, row)
		b = b[8*n:]
	}
	return names, rows, nil
}

// Thin returns the recording of every nth row only, as a host sampled less
// often would give it. The rows are shared with r.
func (r *Recording) Thin(n int) *Recording {
	thin := &Recording{Parts: r.Parts, Every: r.Every * model.Millis(n), Start: r.Start}
	for i := 0; i < len(r.Rows); i += n {
		thin.Rows = append(thin.Rows, r.Rows[i])
	}
	return thin
}

// Moving returns the recording of those series only that change at all: the
// upper bound of a busy host.
func (r *Recording) Moving() *Recording {
	moves := make([]bool, len(r.Rows[0]))
	for _, row := range r.Rows {
		for i, v := range row {
			moves[i] = moves[i] || math.Float64bits(v) != math.Float64bits(r.Rows[0][i])
		}
	}
	moving := &Recording{Every: r.Every, Start: r.Start, Rows: make([][]float64, len(r.Rows))}
	column := 0
	for _, part := range r.Parts {
		kept := model.Part{Collector: part.Collector}
		for _, family := range part.Families {
			series := family.Series
			family.Series = nil
			for _, labels := range series {
				if moves[column] {
					family.Series = append(family.Series, labels)
				}
				column++
			}
			if family.Series != nil {
				kept.Families = append(kept.Families, family)
			}
		}
		if kept.Families != nil {
			moving.Parts = append(moving.Parts, kept)
		}
	}
	for i, row := range r.Rows {
		for j, v := range row {
			if moves[j] {
				moving.Rows[i] = append(moving.Rows[i], v)
			}
		}
	}
	return moving
}

// Part returns the number of the collector's part and whether there is one.
func (r *Recording) Part(collector string) (number int, ok bool) {
	for i := range r.Parts {
		if strings.EqualFold(r.Parts[i].Collector, collector) {
			return i, true
		}
	}
	return 0, false
}
