package ctl

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/local"
)

// explain adds to an error of a request what the library cannot know: what the
// operator should do.
func (w way) explain(err error) error {
	if err == nil {
		return nil
	}
	if refused, ok := errors.AsType[*api.Error](err); ok {
		return w.explainRefusal(refused, err)
	}
	request, failed := errors.AsType[*url.Error](err)
	switch {
	case !failed:
		return err
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, context.DeadlineExceeded) || request.Timeout():
		return fmt.Errorf("%s: no answer within %s", w, model.FormatDuration(requestTimeout))
	}
	if w.socket != "" {
		return hinted(request.Err, w.hintSocket(err))
	}
	return hinted(fmt.Errorf("%s: %w", w, request.Err), w.hintTLS(err))
}

// explainRefusal is for what the daemon itself has answered.
func (w way) explainRefusal(refused *api.Error, err error) error {
	// There are other reasons for 403 than who one is: somebody is revoked.
	person := refused.Status == http.StatusForbidden && (strings.Contains(refused.Text, " may not ") || strings.Contains(refused.Text, " may look only"))
	switch {
	case refused.Status == http.StatusUnauthorized && w.socket == "":
		return hinted(err, fmt.Sprintf("`cloudlessctl login %s` logs you in anew", w.address))
	case refused.Status == http.StatusUnauthorized || person && w.socket != "":
		return hinted(err, joinGroup)
	case person:
		return hinted(err, "Whoever may do this has scope admin: log in as such a user")
	}
	return err
}

func hinted(err error, hint string) error {
	if hint == "" {
		return err
	}
	return fmt.Errorf("%w\n%s", err, hint)
}

// joinGroup says who may use the sockets.
const joinGroup = "Use sudo, or join the group: sudo usermod -aG cloudless $USER, and log in to this host anew"

func (w way) hintSocket(err error) string {
	switch {
	case errors.Is(err, local.ErrRefused):
		return joinGroup
	case errors.Is(err, local.ErrNotThere):
		return fmt.Sprintf("`systemctl status %s` may say why not. From another host, `cloudlessctl login https://COLLECTOR:%d`", w.daemon, model.PortCollector)
	}
	return ""
}

func (w way) hintTLS(err error) string {
	_, isForeign := errors.AsType[x509.UnknownAuthorityError](err)
	name, isOther := errors.AsType[x509.HostnameError](err)
	if isOther && !trust.IsServerName(name.Host) {
		isForeign, isOther = true, false // it was not even looked for by fleet
	}
	_, isPlain := errors.AsType[tls.RecordHeaderError](err)
	operation, isNetwork := errors.AsType[*net.OpError](err)
	switch {
	case isPlain || strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return "Whoever listens there does not speak TLS: it is not collectord"
	case errors.Is(err, trust.ErrPin) && w.login != nil:
		return fmt.Sprintf("It is not the collector that you logged in to, or its fleet has an authority of which you have not heard.\n"+
			"Ask its administrator; `cloudlessctl login %s` shows the authority and asks whether to trust it", w.address)
	case isOther:
		return "It is not the collectord of your fleet"
	case isForeign:
		return fmt.Sprintf("Nothing here vouches for it: `cloudlessctl login %s` shows its authority and asks whether to trust it;\n"+
			"or the ca in your settings is not (any more) that of this collector", w.address)
	case isNetwork && operation.Op == "dial":
		return "Is collectord running there? --collector or the settings name another address"
	}
	return ""
}
