package query

import (
	"net/http"
	"runtime/debug"
	"strings"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/api/reply"
)

// buildInfo serves /api/v1/status/buildinfo.
func (a *API) buildInfo(w http.ResponseWriter, _ *http.Request) {
	reply.JSON(w, struct {
		Status string        `json:"status"`
		Data   api.BuildInfo `json:"data"`
	}{"success", a.deps.Build})
}

// library is the module whose engine and API are spoken here.
const library = "github.com/prometheus/prometheus"

// assumedVersion is told when the binary does not know what it was built from.
const assumedVersion = "3.0.0"

// libraryVersion is the release of Prometheus that the linked library belongs
// to: the module numbers release 3.15.0 as v0.315.0. Clients such as Grafana
// choose the features they use by it.
func libraryVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return assumedVersion
	}
	for _, module := range info.Deps {
		if module.Path == library {
			return releaseOf(module.Version)
		}
	}
	return assumedVersion
}

// releaseOf turns a module version v0.XYY.Z into the release X.YY.Z.
func releaseOf(version string) string {
	parts := strings.Split(version, ".")
	if len(parts) != 3 || parts[0] != "v0" || len(parts[1]) != 3 {
		return assumedVersion
	}
	minor := strings.TrimLeft(parts[1][1:], "0")
	if minor == "" {
		minor = "0"
	}
	return parts[1][:1] + "." + minor + "." + parts[2]
}
