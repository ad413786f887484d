package model

import (
	"errors"
	"fmt"
)

// FieldError says which key of a configuration holds a bad value. Validate
// methods return one, or several by errors.Join; the loader adds the file and
// line where the key was set.
type FieldError struct {
	Key string // dotted, in TOML spelling: "spool.max_bytes", "targets[2].addr"
	Err error  // what is wrong with it and what to do, without the key
}

// Fieldf makes a FieldError; format and args are those of fmt.Errorf.
func Fieldf(key, format string, args ...any) error {
	return &FieldError{Key: key, Err: fmt.Errorf(format, args...)}
}

// InSection puts the keys named in err under a section: FieldError "max_bytes"
// becomes "spool.max_bytes". Errors joined together stay apart. A plain error
// belongs to the section as a whole; nil stays nil.
func InSection(section string, err error) error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []error
		for _, one := range joined.Unwrap() {
			all = append(all, InSection(section, one))
		}
		return errors.Join(all...)
	}
	if field, ok := errors.AsType[*FieldError](err); ok {
		return &FieldError{Key: section + "." + field.Key, Err: field.Err}
	}
	return &FieldError{Key: section, Err: err}
}

func (e *FieldError) Error() string { return e.Key + ": " + e.Err.Error() }

func (e *FieldError) Unwrap() error { return e.Err }
