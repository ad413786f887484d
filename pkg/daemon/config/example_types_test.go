package config

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// sample is a configuration with every type of field.
type sample struct {
	Listen   netip.AddrPort    `toml:"listen"`
	Name     string            `toml:"name"`
	Retries  int               `toml:"retries"`
	Port     uint16            `toml:"port"`
	Ratio    float64           `toml:"ratio"`
	Verbose  bool              `toml:"verbose"`
	Limit    *int              `toml:"limit"`
	Targets  []netip.Addr      `toml:"targets"`
	Pair     [2]int            `toml:"pair"`
	Since    time.Time         `toml:"since"`
	Labels   map[string]string `toml:"labels"`
	Spool    spoolSample       `toml:"spool"`
	TLS      *tlsSample        `toml:"tls"`
	Jobs     map[string]job    `toml:"jobs"`
	Rules    []rule            `toml:"rules"`
	Token    string            `toml:"token" secret:"true"`
	Untagged struct{}          `toml:"-"`
	embedded
	invalid error // what Validate returns
}

type embedded struct {
	Zone string `toml:"zone"`
}

type spoolSample struct {
	MaxBytes model.Bytes   `toml:"max_bytes"`
	Sync     time.Duration `toml:"sync"`
	Disk     struct {
		Path string `toml:"path"`
	} `toml:"disk"`
}

type tlsSample struct {
	Cert string `toml:"cert"`
	Key  string `toml:"key" secret:"true"`
}

type job struct {
	Every time.Duration `toml:"every"`
	Tags  []string      `toml:"tags"`
}

type rule struct {
	Name  string  `toml:"name"`
	Above float64 `toml:"above"`
}

func (s sample) Validate() error {
	var errs []error
	if s.Retries < 0 {
		errs = append(errs, fmt.Errorf("retries: is %d; want 0 or more", s.Retries))
	}
	for i, r := range s.Rules {
		if r.Name == "" {
			errs = append(errs, model.Fieldf(fmt.Sprintf("rules[%d].name", i), "must be set"))
		}
	}
	errs = append(errs, model.InSection("spool", s.Spool.validate()), s.invalid)
	return errors.Join(errs...)
}

func (s spoolSample) validate() error {
	var errs []error
	if s.MaxBytes < model.MiB {
		errs = append(errs, fmt.Errorf("max_bytes: is %v; want 1MiB or more", s.MaxBytes))
	}
	if strings.HasPrefix(s.Disk.Path, ".") {
		errs = append(errs, model.Fieldf("disk.path", "is %q; want an absolute path", s.Disk.Path))
	}
	return errors.Join(errs...)
}

func sampleDefaults() sample {
	return sample{
		Listen: netip.MustParseAddrPort("127.0.0.1:9090"), Retries: 3, Ratio: 0.5, Port: 80,
		Targets: []netip.Addr{netip.MustParseAddr("192.0.2.1")},
		Labels:  map[string]string{"site": "lab"},
		Spool:   spoolSample{MaxBytes: 64 * model.MiB, Sync: time.Second},
		Jobs:    map[string]job{"a": {Every: time.Minute}},
	}
}
