// Package event holds what a worker tells of itself between its frames: the
// payload of records of kind frame.KindEvent.
//
// An event is one JSON object of at most MaxSize bytes:
//
//	{"type":"gap","cause":"spool_full","boot":"78f6ac6d-...","from_ms":1795311000000,"to_ms":1795311060000,
//	 "first_seq":17,"last_seq":76,"frames":60,"samples":30000,"text":"..."}
//
// The set of types is closed, and so are the members of each: an object with a
// member that its type does not have, with one twice, with a value out of its
// range, or with anything behind it, is refused. Who wants to say more makes a
// new type. Types that a reader does not know are not refused: they become Other
// and keep their bytes, so that an older collector stores what a newer worker
// says.
//
// docs/formats/event.md says the same with all ranges.
package event
