package access

import (
	"net/http"

	"github.com/cloudless-fleet/cloudless/pkg/api"
)

// Need is what a request needs to be let through.
type Need uint8

// The needs. The zero value is the strictest.
const (
	// Admin: a principal of scope admin.
	Admin Need = iota
	// Read: a principal of any scope.
	Read
	// Origin: nobody in particular, but no page of another site.
	Origin
	// Nothing: open to everybody, for programs as well as browsers.
	Nothing
)

// Rule says what requests need that a pattern of http.ServeMux matches.
type Rule struct {
	Pattern string
	Need    Need
}

// Rules lists what does not need an administrator; everything else does. GET
// includes HEAD. The queries of the Prometheus API may be posted as forms.
func Rules() []Rule {
	rules := []Rule{
		{"GET " + api.PathReady, Nothing},
		{"GET " + api.PathHealthy, Nothing},
		{"GET " + api.PathIdentity, Nothing},
		{"POST " + api.PathLogin, Origin},

		{"GET " + api.PathLabelValues, Read},
		{"GET " + api.PathMetadata, Read},
		{"GET " + api.PathBuildInfo, Read},
		{"GET /api/v1/", Read}, // what we do not have of that API is a 404 to readers, too
		{"GET " + api.PathFleetWorkers, Read},
		{"GET " + api.PathFleetWorkers + "/{id}", Read},
		{"GET " + api.PathFleetGaps, Read},
		{"GET " + api.PathMe, Read},
		{"POST " + api.PathLogout, Read},
		// Everybody has tokens of his own, for programs: api/people looks at whose.
		{"GET " + api.PathAPITokens, Read},
		{"POST " + api.PathAPITokens, Read},
		{"DELETE " + api.PathAPITokens + "/{id}", Read},
	}
	for _, query := range []string{api.PathQuery, api.PathQueryRange, api.PathLabels, api.PathSeries} {
		rules = append(rules, Rule{"GET " + query, Read}, Rule{"POST " + query, Read})
	}
	return rules
}

// rules finds the rule of a request. It asks a ServeMux, so that it reads paths
// exactly as the one does that routes them: what differs in spelling is not
// matched, and needs an administrator.
type rules struct {
	mux   *http.ServeMux
	needs map[string]Need
}

func newRules(list []Rule) *rules {
	r := &rules{mux: http.NewServeMux(), needs: map[string]Need{}}
	for _, rule := range list {
		r.mux.Handle(rule.Pattern, http.NotFoundHandler())
		r.needs[rule.Pattern] = rule.Need
	}
	return r
}

func (r *rules) need(request *http.Request) Need {
	_, pattern := r.mux.Handler(request)
	return r.needs[pattern] // Admin when there is none
}
