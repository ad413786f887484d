// Package snapshot keeps the state of a store in a folder: makes such folders, checks them, and
// makes store folders of them. What is in the files it does not look at.
//
// It promises:
//
//   - A snapshot is there wholly or not at all: it gets its name when everything in it is
//     on disk. Nothing is overwritten, and nothing removed but what was not finished.
//   - Every byte of it is under a checksum of the manifest, and the manifest under one of
//     its own. What is damaged or missing is named.
//   - What is restored was checked while it was copied. A store folder gets all of a
//     snapshot or nothing: a restore that a crash has interrupted when all was copied is
//     ended by Finish, an earlier one leaves the folder empty.
//
// # Files
//
//	NAME/                     a snapshot
//	NAME/snapshot.json        the manifest
//	NAME/journal/ schemas/ volumes/ gaps/    the folders of a store
//	NAME.new/                 one that is being made
//
//	DIR/restore.new/          in a store folder: what is being restored
//
// # The manifest
//
//	{"manifest":{"version":1,"created":"2026-07-01T12:00:00Z","files":[
//	{"path":"gaps/000000000001.log","bytes":4711,"crc32c":"0a1b2c3d"},
//	...]},"crc32c":"4d5e6f70"}
//
// The last checksum is that of the bytes of the member manifest, as they stand in the file.
// Paths rise. docs/formats/snapshot.md says more.
package snapshot
