package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// maxFile bounds a configuration file, so that a path that leads to a device
// or a data file is an error and not the end of memory.
const maxFile = 1 << 20

// Validator is what a configuration has to be: able to check itself. Validate
// names the keys at fault by model.FieldError or by starting a plain error's
// text with "key: "; it joins several errors by errors.Join.
type Validator interface{ Validate() error }

// Source says where the settings come from.
type Source struct {
	// Path of the main file.
	Path string
	// Required makes it an error that the main file does not exist: somebody
	// named it. Without it the defaults stand.
	Required bool
	// DropInDir holds further *.toml files, read in the order of their names.
	// It need not exist; "" means none.
	DropInDir string
	// Environ lists variables as os.Environ does.
	Environ []string
	// EnvPrefix marks the variables that are settings: "CLOUDLESS_WORKERD_".
	// What follows is the key in upper case with _ for the dots. "" means none.
	EnvPrefix string
}

// Origin says where the settings came from.
type Origin struct {
	// Files that were read, in their order.
	Files []string
	// Missing is the path of the main file when there is none.
	Missing string
	set     map[string]Place
}

// Place returns where key was set; ok is false when it has its default.
func (o *Origin) Place(key string) (place Place, ok bool) {
	place, ok = o.set[key]
	return place, ok
}

// Load makes up the configuration from defaults and all sources, and validates
// it. The error is an *Error that lists everything wrong. The maps and slices
// of defaults stay untouched.
func Load[C Validator](defaults C, from Source) (C, *Origin, error) {
	effective, origin, found := read(defaults, from)
	if len(found) == 0 {
		found = validate(effective, origin, from.Path)
	}
	if len(found) > 0 {
		var zero C
		return zero, origin, found.err()
	}
	return effective, origin, nil
}

// Decode puts one TOML document over defaults, as strictly as Load, but does
// not validate the result. name stands for the file in problems.
func Decode[C any](defaults C, name, document string) (C, error) {
	var found problems
	decodeDocument(reflect.ValueOf(&defaults).Elem(), name, document, map[string]Place{}, &found)
	return defaults, found.err()
}

func read[C any](effective C, from Source) (C, *Origin, problems) {
	var found problems
	origin := &Origin{set: map[string]Place{}}
	v := reflect.ValueOf(&effective).Elem()

	files := []string{from.Path}
	if _, err := os.Stat(from.Path); errors.Is(err, fs.ErrNotExist) && !from.Required {
		origin.Missing, files = from.Path, nil
	}
	dropIns, err := dropInFiles(from.DropInDir)
	if err != nil {
		found.add(Place{Source: from.DropInDir}, "", "%s", reasonOf(err))
	}
	for _, path := range append(files, dropIns...) {
		document, err := readFile(path)
		if err != nil {
			found.add(Place{Source: path}, "", "%s", reasonOf(err))
			continue
		}
		origin.Files = append(origin.Files, path)
		decodeDocument(v, path, document, origin.set, &found)
	}
	applyEnv(v, from, origin.set, &found)
	return effective, origin, found
}

// decodeDocument puts the document over v.
func decodeDocument(v reflect.Value, path, document string, set map[string]Place, found *problems) {
	var raw map[string]any
	if _, err := toml.Decode(document, &raw); err != nil {
		found.add(syntaxPlace(path, err), "", "%s", syntaxMessage(err))
		return
	}
	lines := scanLines(document)
	d := decoder{found: found, set: set, place: func(key string) Place {
		for at := key; at != ""; at = parentKey(at) {
			if line, known := lines[at]; known {
				return Place{Source: path, Line: line}
			}
		}
		return Place{Source: path}
	}}
	before := len(*found)
	d.table(v, raw, "", false)
	found.sortFrom(before)
}

func syntaxPlace(path string, err error) Place {
	if parse, ok := errors.AsType[toml.ParseError](err); ok {
		line := parse.Position.Line
		if strings.Contains(parse.Message, `to end table name, but got '\n'`) {
			line-- // here the library has counted the end of the line already
		}
		return Place{Source: path, Line: line}
	}
	return Place{Source: path}
}

func syntaxMessage(err error) string {
	parse, ok := errors.AsType[toml.ParseError](err)
	if !ok {
		return "not TOML: " + err.Error()
	}
	message := strings.TrimSuffix(parse.Message, ".")
	if parse.LastKey != "" {
		message = fmt.Sprintf("%s (at or after key %s)", message, parse.LastKey)
	}
	return "not TOML: " + message
}

// dropInFiles lists the *.toml files of dir by name, hidden ones left out.
func dropInFiles(dir string) ([]string, error) {
	if dir == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var paths []string
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasSuffix(name, ".toml") && !strings.HasPrefix(name, ".") {
			paths = append(paths, filepath.Join(dir, name))
		}
	}
	slices.Sort(paths)
	return paths, nil
}

func readFile(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	document, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return "", err
	}
	if len(document) > maxFile {
		return "", fmt.Errorf("larger than 1 MiB: not a configuration file")
	}
	return string(document), nil
}

// reasonOf shortens errors of files, whose path is told already, and adds what
// to do.
func reasonOf(err error) string {
	reason := err
	if of, ok := errors.AsType[*fs.PathError](err); ok {
		reason = of.Err
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Sprintf("cannot read: %v; check --config", reason)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf("cannot read: %v; run as root or as the daemon's user", reason)
	}
	return fmt.Sprintf("cannot read: %v", reason)
}
