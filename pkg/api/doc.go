// Package api is what travels over Cloudless' HTTP interfaces, and the client
// that speaks them: the Prometheus query API, the fleet API and the users of
// collectord (Client), the control API of coordinatord for collectors
// (ControlClient) and for workers (MemberClient), and the administration of both
// (AdminClient).
//
// It holds wire types and clients only, so that cloudlessctl and coordinatord
// stay small; the servers are the packages below it:
//
//	api/query       Prometheus' /api/v1 over storage.Queryable and promql
//	api/fleet       /api/fleet of collectord
//	api/control     /v1 of coordinatord, for collectord and operators
//	api/member      /v1 of coordinatord, for workers: enrolment, sessions, keep-alive
//	api/admin       /v1/admin of coordinatord and /api/admin of collectord
//	api/people      /api/auth of collectord: login, users, API tokens
//	api/access      who asks of collectord, and whether he may
//	api/middleware  limits, recovery, counters, compression and headers around all of them
//	api/body        bodies of requests: bounded and strict
//	api/reply       the JSON envelope of errors that all of them share
//
// Times are Unix milliseconds in members that end in _ms, and spans of time are
// milliseconds too. The Prometheus API keeps Prometheus' own spelling: seconds
// with a fraction. docs/api.md describes every endpoint with examples.
package api
