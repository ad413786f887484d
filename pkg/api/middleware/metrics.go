package middleware

import (
	"strconv"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Metrics lists the figures as the daemons export them.
func (s Stats) Metrics() model.Metrics {
	var m model.Metrics
	m.Gauge("cloudless_http_requests_in_flight", "HTTP requests being answered.", float64(s.InFlight))
	m.Count("cloudless_http_panics_total", "Requests that ended in a panic of the handler.", s.Panics)
	for _, handler := range s.Handlers {
		for _, code := range handler.Codes {
			m.Count("cloudless_http_requests_total", "HTTP requests answered, by handler and status code.", code.Count,
				"handler", handler.Name, "code", strconv.Itoa(code.Code))
		}
	}
	for _, handler := range s.Handlers {
		m.Total("cloudless_http_request_seconds_total", "Time spent on answering, by handler.", handler.Duration.Seconds(), "handler", handler.Name)
	}
	for _, handler := range s.Handlers {
		m.Count("cloudless_http_response_bytes_total", "Bytes of the answers as sent, by handler.", handler.Bytes, "handler", handler.Name)
	}
	return m
}
