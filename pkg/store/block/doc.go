// Package block: see doc.
package block
