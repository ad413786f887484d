package sampler

import (
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/kernel"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// osRelease is which distribution the host runs. The file is looked at once a
// minute.
type osRelease struct {
	fs     kernel.FS
	slowly slowly
	known  map[string]string
	values []float64
	err    error
}

func newOS(h *host, _ *Collectors) (collector, error) { return &osRelease{fs: h.fs}, nil }

func (c *osRelease) update(r *round, s *sheet) error {
	if c.slowly.due(r) {
		var release map[string]string
		if release, c.err = c.read(r); c.err == nil && (!s.described() || !maps.Equal(release, c.known)) {
			c.known = nil
			if c.err = c.describe(s, release); c.err == nil {
				c.known = release
			}
		}
	}
	if c.err == nil {
		copy(s.values, c.values)
	}
	return c.err
}

// read takes the administrator's file, else the distribution's, see
// os-release(5).
func (c *osRelease) read(r *round) (release map[string]string, err error) {
	for _, path := range [...]string{"etc/os-release", "usr/lib/os-release"} {
		file := kernel.NewFile(c.fs.RootPath(path))
		file.Transient = true
		var content []byte
		if content, err = r.read(file); err == nil {
			if release, err = kernel.ParseOSRelease(content); err != nil {
				err = fmt.Errorf("read %q: %w", file.Path(), err)
			}
			return release, err
		}
		if !kernel.NotThere(err) {
			break
		}
	}
	return nil, err
}

func (c *osRelease) describe(s *sheet, os map[string]string) error {
	supportEnd, err := time.Parse(time.DateOnly, os["SUPPORT_END"])
	if err != nil && os["SUPPORT_END"] != "" {
		return fmt.Errorf("os-release: SUPPORT_END: %w", err)
	}
	s.begin()
	s.family("node_os_info", "A metric with a constant '1' value labeled by build_id, id, id_like, image_id, image_version, "+
		"name, pretty_name, variant, variant_id, version, version_codename, version_id.", model.Gauge, 0)
	var labels []string
	for _, name := range [...]string{"BUILD_ID", "ID", "ID_LIKE", "IMAGE_ID", "IMAGE_VERSION", "NAME", "PRETTY_NAME",
		"VARIANT", "VARIANT_ID", "VERSION", "VERSION_CODENAME", "VERSION_ID"} {
		labels = append(labels, strings.ToLower(name), os[name])
	}
	s.series(labels...)
	c.values = append(c.values[:0], 1)
	if version := majorMinor(os["VERSION_ID"]); version > 0 {
		s.family("node_os_version", "Metric containing the major.minor part of the OS version.", model.Gauge, 2)
		s.series("id", os["ID"], "id_like", os["ID_LIKE"], "name", os["NAME"])
		c.values = append(c.values, version)
	}
	if os["SUPPORT_END"] != "" {
		s.family("node_os_support_end_timestamp_seconds", "Metric containing the end-of-life date timestamp of the OS.", model.Gauge, 0)
		s.series()
		c.values = append(c.values, float64(supportEnd.Unix()))
	}
	s.end()
	return nil
}

// majorMinor reads the number that a version begins with: 22.04 of "22.04.3".
func majorMinor(version string) float64 {
	digits := func(text string) int { return len(text) - len(strings.TrimLeft(text, "0123456789")) }
	end := digits(version)
	if end > 0 && strings.HasPrefix(version[end:], ".") {
		end += 1 + digits(version[end+1:])
	}
	number, err := strconv.ParseFloat(version[:end], 64)
	if err != nil {
		return 0
	}
	return number
}

func (c *osRelease) close() {}
