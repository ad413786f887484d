// Package audit keeps the append-only log of who did what, and from where.
package audit
