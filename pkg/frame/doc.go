// Package frame turns schemas, frames and records into bytes and back.
package frame
