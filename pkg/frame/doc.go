// Package frame turns what a worker measures into bytes and back: parts and
// schemas, which name columns; frames, which hold one round of values; and
// records, which carry them over disk and wire.
//
// Every value comes back bit by bit, NaN, infinities, -0 and model.Absent
// included. No input makes a parser or decoder panic, or allocate more than its
// length justifies. A frame is encoded once, where it was measured; a reader
// can skip the parts it does not want.
//
// # Numbers
//
// A varint is little-endian. The zero bits below its lowest one count the
// bytes that follow the first, so its length is known at once:
//
//	xxxxxxx1                              7 bits
//	xxxxxx10 xxxxxxxx                    14 bits
//	xxxxx100 xxxxxxxx xxxxxxxx           21 bits
//	  ...
//	10000000 and 7 bytes                 56 bits
//	00000000 and 8 bytes                 64 bits
//
// A signed number is zig-zagged first: 0, -1, 1, -2, 2 become 0, 1, 2, 3, 4.
//
// # Parts and schemas
//
//	part    01 | text collector | varint families | family ...
//	family  text name | text help | type | scale | varint series | series ...
//	series  varint labels | (text name | text value) ...
//	text    varint 0 | varint length | bytes       the first time
//	        varint n                               the n-th text again, from 1
//
//	schema  01 | varint parts | PartID ...
//
// type and scale are one byte each. Ids are the first 16 bytes of the SHA-256
// of the encoding. Parsers accept one encoding of a part or schema only, the
// one that is written here, so equal content has equal ids.
//
// # Frames
//
//	key frame    10 | at | SchemaID, 16 bytes               | body
//	delta frame  11 | at | varint since key | at minus base | body
//
// at is a zig-zag varint of milliseconds since 1970. The base of a delta frame
// is the frame before it in the stream; since key counts from the key frame, its
// successor being 1. A decoder takes a delta frame only if both fit what it holds.
//
// The body says how a row differs, by its bits, from the base's row. For a key
// frame that is a row of zeros: both kinds of frames are coded alike.
//
//	body   bitmap of changed parts, lowest bit first | changed part ...
//	part   varint length in bytes | block ...
//	block  mask | changed value ...
//
// A block is the next 64 columns of the part, the last block what is left of
// them. Its mask has a bit per column, the first column lowest:
//
//	up to 8 columns   the mask in one byte
//	more              a byte with a bit for each byte of the mask that is not
//	                  zero, lowest first | those bytes
//
// # Values
//
// A column's scale s makes its unit: 10^-s. units(v) is v*10^s rounded to the
// nearest integer, ties to even, or 0 where the product is not below 2^62 in
// magnitude. The base b of a changed value is units(previous value), so the
// previous row is all that encoder and decoder remember.
//
//	zig-zag varint of d, not 0          the value is (b + d*step) / 10^s
//	01 | 01ulps.. | zig-zag varint d    (b + d) / 10^s, then moved by ulps (a six
//	                                    bit zig-zag number) in the last place
//	01 | 00skip+size | bytes            previous bits XOR these: skip (3 bits)
//	                                    zero bytes, then size (3 bits, less one)
//	                                    bytes, whose first and last are not zero
//
// step is 4096 if b is a multiple of it other than zero, else 1: the kernel
// counts most of memory and storage in pages. The second form is for deltas that are
// no multiple of the step, and for values which their source rounded
// otherwise, such as n*0.001 for n/1000. It and the third are the rare ones.
//
// # States
//
//	state   12 | at | varint since key | body    where a decoder stands
//	        13 | at                              one that waits for a key frame
//
// The body is that of a key frame of the decoder's row. Whoever has only the frames
// behind begins with a state.
//
// # Records
//
//	c8 + kind | varint length | varint seq | varint stream | payload | CRC-32C
//
// length counts seq, stream and payload. The checksum covers everything before
// it and is little-endian like the rest.
//
// # Order
//
// A schema comes after its parts, and before its first frame, which is a key
// frame. docs/formats says the same at greater length, with examples.
package frame
