package daemon

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is set when a release is linked:
//
//	go build -ldflags "-X github.com/cloudless-fleet/cloudless/pkg/daemon.version=1.2.3"
//
// The linker can only set a package variable; nothing else writes it.
var version string

// Build says which program this is.
type Build struct {
	Version string // of the release, or what Go derives from version control
	Commit  string // of version control, "" when unknown
	Dirty   bool   // there were changes on top of the commit
	Time    string // of the commit, RFC 3339
	Go      string // version of the compiler
	OS      string
	Arch    string
}

// BuildOf describes the running program.
func BuildOf() Build {
	info, _ := debug.ReadBuildInfo()
	return buildFrom(version, info)
}

// buildFrom makes a Build of what the linker and the compiler left.
func buildFrom(linked string, info *debug.BuildInfo) Build {
	b := Build{Version: linked, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	if info != nil {
		if info.Main.Version != "(devel)" {
			b.Version = cmp.Or(b.Version, info.Main.Version)
		}
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				b.Commit = s.Value
			case "vcs.modified":
				b.Dirty = s.Value == "true"
			case "vcs.time":
				b.Time = s.Value
			}
		}
	}
	b.Version = cmp.Or(b.Version, "devel")
	return b
}

// String is what the version verb prints behind the program's name.
func (b Build) String() string {
	text := fmt.Sprintf("%s (%s, %s/%s", b.Version, b.Go, b.OS, b.Arch)
	if b.Commit != "" {
		text += ", commit " + b.Commit
		if b.Dirty {
			text += " with changes"
		}
	}
	if b.Time != "" {
		text += ", " + b.Time
	}
	return text + ")"
}
