package query

import (
	"encoding/json"
	"net/http"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/annotations"
	"github.com/prometheus/prometheus/util/stats"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// chunk is how many bytes of an answer are gathered before they are sent.
const chunk = 64 << 10

// mostRemarks is how many warnings, and how many infos, an answer carries.
const mostRemarks = 10

// respond streams the success envelope with the data that body writes. By now
// nothing can fail but the connection, so the status is sent before the data
// is complete, and an answer takes little memory beyond its result.
func respond(w http.ResponseWriter, expr string, remarks annotations.Annotations, body func(*encoder)) {
	w.Header().Set("Content-Type", "application/json")
	e := &encoder{w: w, buf: make([]byte, 0, 4<<10)}
	e.text(`{"status":"success","data":`)
	body(e)
	warnings, infos := remarks.AsStrings(expr, mostRemarks, mostRemarks)
	e.remarks(`,"warnings":`, warnings)
	e.remarks(`,"infos":`, infos)
	e.text("}")
	e.flush()
}

// encoder appends JSON to buf and sends it on in chunks. Once a write failed
// the rest is dropped: the client has gone.
type encoder struct {
	w   http.ResponseWriter
	buf []byte
	err error
}

func (e *encoder) flush() {
	if e.err == nil {
		_, e.err = e.w.Write(e.buf)
	}
	e.buf = e.buf[:0]
}

// breathe sends what has gathered when it is enough. It is called between elements.
func (e *encoder) breathe() {
	if len(e.buf) >= chunk {
		e.flush()
	}
}

func (e *encoder) text(s string) { e.buf = append(e.buf, s...) }

// comma separates the elements of a list or an object.
func (e *encoder) comma(i int) {
	if i > 0 {
		e.buf = append(e.buf, ',')
	}
}

func (e *encoder) remarks(key string, list []string) {
	if len(list) > 0 {
		e.text(key)
		e.strings(list)
	}
}

func (e *encoder) strings(list []string) {
	e.text("[")
	for i, s := range list {
		e.comma(i)
		e.buf = appendString(e.buf, s)
		e.breathe()
	}
	e.text("]")
}

func (e *encoder) series(list []labels.Labels) {
	e.text("[")
	for i, l := range list {
		e.comma(i)
		e.labels(l)
		e.breathe()
	}
	e.text("]")
}

func (e *encoder) labels(list labels.Labels) {
	e.text("{")
	i := 0
	list.Range(func(l labels.Label) {
		e.comma(i)
		e.buf = appendLabelString(e.buf, l.Name)
		e.text(":")
		e.buf = appendLabelString(e.buf, l.Value)
		i++
	})
	e.text("}")
}

// result writes the data member of a query; figures may be nil.
func (e *encoder) result(value parser.Value, figures stats.QueryStats) {
	e.text(`{"resultType":"`)
	e.text(string(value.Type()))
	e.text(`","result":`)
	switch v := value.(type) {
	case promql.Vector:
		e.vector(v)
	case promql.Matrix:
		e.matrix(v)
	case promql.Scalar:
		e.buf = appendPair(e.buf, v.T, appendPlainValue(nil, v.V))
	case promql.String:
		e.buf = appendPair(e.buf, v.T, appendString(nil, v.V))
	}
	if figures != nil {
		if b, err := json.Marshal(figures); err == nil {
			e.text(`,"stats":`)
			e.buf = append(e.buf, b...)
		}
	}
	e.text("}")
}

func (e *encoder) vector(v promql.Vector) {
	e.text("[")
	for i := range v {
		e.comma(i)
		e.text(`{"metric":`)
		e.labels(v[i].Metric)
		if v[i].H != nil {
			e.text(`,"histogram":`)
			e.buf = appendHistogramPoint(e.buf, v[i].T, v[i].H)
		} else {
			e.text(`,"value":`)
			e.buf = appendPoint(e.buf, v[i].T, v[i].F)
		}
		e.text("}")
		e.breathe()
	}
	e.text("]")
}

func (e *encoder) matrix(m promql.Matrix) {
	e.text("[")
	for i := range m {
		e.comma(i)
		e.text(`{"metric":`)
		e.labels(m[i].Metric)
		for j, p := range m[i].Floats {
			if j == 0 {
				e.text(`,"values":[`)
			}
			e.comma(j)
			e.buf = appendPoint(e.buf, p.T, p.F)
			e.breathe()
		}
		if len(m[i].Floats) > 0 {
			e.text("]")
		}
		for j, p := range m[i].Histograms {
			if j == 0 {
				e.text(`,"histograms":[`)
			}
			e.comma(j)
			e.buf = appendHistogramPoint(e.buf, p.T, p.H)
			e.breathe()
		}
		if len(m[i].Histograms) > 0 {
			e.text("]")
		}
		e.text("}")
	}
	e.text("]")
}

// families writes metadata: name -> list of meanings. families is sorted by name.
func (e *encoder) families(families []model.Family, limit, perMetric int) {
	e.text("{")
	for names := 0; len(families) > 0 && (limit < 0 || names < limit); names++ {
		e.comma(names)
		e.buf = appendString(e.buf, families[0].Name)
		e.text(":[")
		n := sameName(families)
		for i, f := range families[:n] {
			if perMetric > 0 && i >= perMetric {
				break
			}
			e.comma(i)
			e.text(`{"type":"`)
			e.text(f.Type.String())
			e.text(`","unit":"","help":`)
			e.buf = appendString(e.buf, f.Help)
			e.text("}")
		}
		e.text("]")
		e.breathe()
		families = families[n:]
	}
	e.text("}")
}
