// Package api is what travels over Cloudless' HTTP interfaces, and the client
// that speaks them: the Prometheus query API and the fleet API of collectord
// (Client), and the control API of coordinatord (ControlClient).
//
// It holds wire types and clients only, so that cloudlessctl and coordinatord
// stay small; the servers are the packages below it:
//
//	api/query       Prometheus' /api/v1 over storage.Queryable and promql
//	api/fleet       /api/fleet of collectord
//	api/control     /v1 of coordinatord
//	api/middleware  limits, recovery, counters, compression and headers around all of them
//	api/reply       the JSON envelope of errors that all of them share
//
// Times are Unix milliseconds in members that end in _ms, and spans of time are
// milliseconds too. The Prometheus API keeps Prometheus' own spelling: seconds
// with a fraction. docs/api.md describes every endpoint with examples.
package api
