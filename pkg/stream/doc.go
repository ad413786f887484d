// Package stream is both ends of the data conversation: a worker's records go to
// the collector in order, each is stored once, and the worker may forget what
// was acknowledged. It promises that an acknowledgement is only sent for what
// the collector's Session calls durable, and that after any interruption the
// stream goes on behind the last durable record.
//
// A connection is for one stretch of one boot's records. The live one takes what
// this process measures, as it comes. While there is a backlog (of an outage, or
// of a process before this one) a second one, the backfill, delivers it stretch by
// stretch at a bounded rate. Neither waits for the other, and what happens to the
// backfill never disturbs the live one.
//
// Client is the worker's end: it dials, and dials again, and asks its Supply what
// to send. Server is the collector's end of one connection each. Port is the
// collector's listener: it shakes hands with whoever comes, gives fleet workers
// to the Server and everybody else to an HTTP server. Both ends speak over any
// net.Conn that is already secured, with the peer's identity known.
//
// # The conversation
//
//	worker                                   collector
//	  | -- Hello: role, boots, range, parts --> |
//	  | <-- Welcome: resume, window, wanted --- |     or Refuse, and the end
//	  | -- Records: context up to resume -----> |     brings decoders up to date
//	  | -- Records: resume+1 ... -------------> |
//	  | -- Records ---------------------------> |
//	  | <-- Ack: through ---------------------- |     written and synced
//	  | <-- Reject: from, through, cause ------ |     these will not be stored
//	  | <-- Window: bytes --------------------- |
//	  | <-> Ping, Pong: clocks <--------------> |     either side, at any time
//	  | -- Bye -------------------------------> |     acks of the rest, then the end
//
// A worker sends records while the bytes of those that are not acknowledged are
// fewer than the window; its last message may reach beyond it. A window of 0
// means: wait. With the role live the range is open: records go on behind it.
// With backfill it ends; the worker says Bye once all of it is acknowledged.
//
// # Messages
//
// All numbers are little endian; clocks are nanoseconds since the Unix epoch.
//
//	message  type 1 | length of body 3 | body
//	Hello    1 | version 1 | role 1 | session 16 | boot 16 | first 8 | next 8 | clock 8 | n 2 | n x part id 16
//	Welcome  2 | version 1 | resume 8 | window 4 | hello received 8 | welcome sent 8 | n 2 | ceil(n/8) bytes of wanted bits
//	Records  3 | whole encoded records, see package frame
//	Ack      4 | through 8
//	Refuse   5 | cause 1 | permanent 1 | retry after, ms 4 | text, UTF-8, to the end
//	Window   6 | bytes 4
//	Ping     7 | sent 8
//	Pong     8 | sent of the ping 8 | ping received 8 | pong sent 8
//	Bye      9 |
//	Reject  10 | cause 1 | from 8 | through 8 | records 4 | text, UTF-8, to the end
//
// The version is 2. Role is 1 for live, 2 for backfill. Session is the process that
// speaks, boot the one whose records come; they are the same with the role live.
// Bit i of the wanted bits is bit i%8 of byte i/8; the bits behind the last are 0.
// A message has one encoding: everything else is refused. No message is longer
// than one record of maximal size.
package stream
