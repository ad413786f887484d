package kernel

import (
	"bytes"
	"strings"
)

// Mount is one line of mountinfo.
type Mount struct {
	Major, Minor uint32
	Point        string // where it is mounted, unescaped
	Type         string // of the filesystem
	Source       string // the device or what stands for it, as the kernel escapes it
	ReadOnly     bool   // the mount, or the filesystem as a whole
}

// ParseMountinfo reads /proc/<pid>/mountinfo (fs/proc_namespace.c,
// show_mountinfo):
//
//	36 35 98:0 /root /mnt rw,noatime master:1 - ext3 /dev/root rw,errors=continue
//
// It is not for the hot path: call it when the bytes differ from the last ones.
func ParseMountinfo(b []byte) ([]Mount, error) {
	var mounts []Mount
	for number := 1; len(b) > 0; number++ {
		var line []byte
		line, b = cutLine(b)
		mount, ok := parseMount(line)
		if !ok {
			return nil, formatError("mountinfo", number, "id parent major:minor root point options [fields] - type source options", line)
		}
		mounts = append(mounts, mount)
	}
	return mounts, nil
}

func parseMount(line []byte) (m Mount, ok bool) {
	// Fields are separated by exactly one space, and a source may be empty.
	before, after, ok := bytes.Cut(line, []byte(" - "))
	if !ok {
		return m, false
	}
	head := strings.SplitN(string(before), " ", 7)
	tail := strings.SplitN(string(after), " ", 3)
	if len(head) < 6 || len(tail) < 3 {
		return m, false
	}
	major, minor, ok := strings.Cut(head[2], ":")
	if !ok {
		return m, false
	}
	majorNumber, ok1 := parseUint([]byte(major))
	minorNumber, ok2 := parseUint([]byte(minor))
	if !ok1 || !ok2 || majorNumber > 1<<32-1 || minorNumber > 1<<32-1 {
		return m, false
	}
	return Mount{
		Major:    uint32(majorNumber),
		Minor:    uint32(minorNumber),
		Point:    unescapeOctal(head[4]),
		Type:     tail[0],
		Source:   tail[1],
		ReadOnly: hasOption(head[5], "ro") || hasOption(tail[2], "ro") || hasOption(tail[2], "emergency_ro"),
	}, true
}

func hasOption(options, want string) bool {
	for option := range strings.SplitSeq(options, ",") {
		if option == want {
			return true
		}
	}
	return false
}

// unescapeOctal undoes seq_escape: a backslash and three octal digits stand
// for a space, tab, newline, backslash or number sign.
func unescapeOctal(text string) string {
	if !strings.Contains(text, `\`) {
		return text
	}
	plain := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+3 < len(text) && isOctal(text[i+1], '3') && isOctal(text[i+2], '7') && isOctal(text[i+3], '7') {
			plain = append(plain, (text[i+1]-'0')<<6|(text[i+2]-'0')<<3|(text[i+3]-'0'))
			i += 3
			continue
		}
		plain = append(plain, text[i])
	}
	return string(plain)
}

func isOctal(c, most byte) bool { return c >= '0' && c <= most }
