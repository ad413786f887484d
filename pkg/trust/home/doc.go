// Package home keeps who a worker is on its host: an id and a key, made at
// first start, and bound to the machine by what the machine is made of. It
// promises that the identity is whole or not there at all, that what identifies
// the machine is never stored or sent in the clear, and that a state folder which
// was copied to another machine is noticed.
//
// All of it is one file, worker.key (0600): a PEM block CLOUDLESS IDENTITY, JSON
// inside, and behind it the PKCS #8 key, so that the same file is the key of the
// worker's TLS credentials. Replacing it is one rename.
package home
