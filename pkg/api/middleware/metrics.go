package middleware

import (
	"strconv"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// exportedCodes are the status codes that have a series of their own: those
// that our handlers answer (package reply). The list is closed, so that the set
// of series, and with it the schema of a daemon's frames, never changes.
func exportedCodes() []int {
	return []int{200, 400, 401, 403, 404, 409, 413, 421, 422, 429, 499, 500, 503}
}

// otherCode is the label of all further codes together.
const otherCode = "other"

// Metrics lists the figures as the daemons export them.
func (s Stats) Metrics() model.Metrics {
	var m model.Metrics
	m.Gauge("cloudless_http_requests_in_flight", "HTTP requests being answered.", float64(s.InFlight))
	m.Count("cloudless_http_panics_total", "Requests that ended in a panic of the handler.", s.Panics)
	for _, handler := range s.Handlers {
		handler.requests(&m)
	}
	for _, handler := range s.Handlers {
		m.Total("cloudless_http_request_seconds_total", "Time spent on answering, by handler.", handler.Duration.Seconds(), "handler", handler.Name)
	}
	for _, handler := range s.Handlers {
		m.Count("cloudless_http_response_bytes_total", "Bytes of the answers as sent, by handler.", handler.Bytes, "handler", handler.Name)
	}
	return m
}

func (s HandlerStats) requests(m *model.Metrics) {
	counts, other := map[int]uint64{}, uint64(0)
	for _, code := range s.Codes {
		counts[code.Code] = code.Count
		other += code.Count
	}
	const name, help = "cloudless_http_requests_total", "HTTP requests answered, by handler and status code."
	for _, code := range exportedCodes() {
		m.Count(name, help, counts[code], "handler", s.Name, "code", strconv.Itoa(code))
		other -= counts[code]
	}
	m.Count(name, help, other, "handler", s.Name, "code", otherCode)
}
