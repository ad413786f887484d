package access

import (
	"net/http"

	"github.com/cloudless-fleet/cloudless/pkg/api"
)

// ContentSecurityPolicy of every answer: pages use what this server itself
// serves and nothing else, no script or style stands in a page, and nobody frames
// them.
const ContentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

func setHeaders(h http.Header) {
	h.Set("Content-Security-Policy", ContentSecurityPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
	h.Set("Cache-Control", "no-store") // assets that may be kept say so themselves
}

// SetSession gives the browser its session, or takes it away when id is empty.
// __Host- in the name makes browsers refuse it without Secure, for another path
// and from another host.
func SetSession(w http.ResponseWriter, id string, p api.Principal) {
	cookie := &http.Cookie{Name: api.SessionCookie, Value: id, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode}
	if id == "" {
		cookie.MaxAge = -1
	} else if !p.Expires.IsZero() {
		cookie.Expires = p.Expires
	}
	http.SetCookie(w, cookie)
}
