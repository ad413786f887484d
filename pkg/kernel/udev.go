package kernel

import (
	"fmt"
	"strings"
)

// UdevFile returns the record that udev keeps of a block device below Root.
func (fs FS) UdevFile(major, minor uint32) *File {
	f := NewFile(fs.RootPath(fmt.Sprintf("run/udev/data/b%d:%d", major, minor)))
	f.Transient = true
	return f
}

// ParseUdev reads the properties of a udev record, the lines E:NAME=value
// (systemd, src/libsystemd/sd-device/device-private.c). Other lines are
// skipped; no input is an error.
func ParseUdev(b []byte) map[string]string {
	properties := map[string]string{}
	for line := range strings.Lines(string(b)) {
		property, isProperty := strings.CutPrefix(strings.TrimRight(line, "\r\n"), "E:")
		if !isProperty {
			continue
		}
		if name, value, found := strings.Cut(property, "="); found {
			properties[name] = value
		}
	}
	return properties
}
