package worker

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/daemon"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust/disk"
	"github.com/cloudless-fleet/cloudless/pkg/trust/home"
	"github.com/cloudless-fleet/cloudless/pkg/trust/pairing"
)

// headline is the status in one line, for the service manager.
func (s Status) headline() string {
	switch s.Standing {
	case standingPending:
		return fmt.Sprintf("waiting for approval by fleet %s, pairing code %s", s.Fleet, s.Code)
	case standingMember:
		return "member of fleet " + s.Fleet
	case standingExpired:
		return "certificate of fleet " + s.Fleet + " ran out, asking for a new one"
	case standingRevoked:
		return "revoked by fleet " + s.Fleet
	case standingRefused:
		return "refused: " + s.Text
	}
	return "no member of a fleet yet: " + s.Text
}

// showStatus is the daemon's part of `workerd status`. running says that a
// workerd holds the state folder.
func (env environment) showStatus(_ context.Context, call daemon.Call[Config]) (running bool, err error) {
	cfg, err := call.Load()
	if err != nil {
		return false, err
	}
	dir := stateDir(cfg.StateDirectory)
	unlock, err := dir.lock()
	switch {
	case errors.Is(err, errInUse):
		running = true
	case errors.Is(err, fs.ErrNotExist):
		fmt.Fprintf(call.Stdout, "  never started: %q does not exist\n", cfg.StateDirectory)
		return false, nil
	case errors.Is(err, fs.ErrPermission):
		return false, fmt.Errorf("status: %w; run it as root", err)
	case err != nil:
		return false, fmt.Errorf("status: %w", err)
	default:
		defer unlock()
	}
	h, err := home.Look(string(dir))
	if errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintf(call.Stdout, "  no identity yet: it is made at the first start\n")
		return running, nil
	}
	if err != nil {
		return running, err
	}
	s, statusErr := readStatus(dir)
	if statusErr != nil && !errors.Is(statusErr, fs.ErrNotExist) {
		return running, fmt.Errorf("status: %w", statusErr)
	}
	printStatus(call.Stdout, h, s, running, env.now())
	return running, nil
}

// printStatus writes what is there to say. What the running daemon says of its
// moment is left out when none runs.
func printStatus(w io.Writer, h *home.Home, s Status, running bool, now time.Time) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	defer table.Flush()
	row := func(name, format string, args ...any) {
		if text := fmt.Sprintf(format, args...); text != "" {
			fmt.Fprintf(table, "  %s:\t%s\n", name, printable(text))
		}
	}
	if s.Worker != h.Worker() { // of a former identity
		s = Status{Standing: standingNew}
	}
	row("worker", "%s", h.Worker())
	row("formerly", "%s", s.Former)
	fleet, enrolled := h.Enrolled()
	if !enrolled {
		fleet = s.Fleet
	}
	row("fleet", "%s", fleet)
	row("authority", "%s", s.Authority)
	standing := string(s.Standing)
	if s.Text != "" {
		standing += ", " + s.Text
	}
	if s.Standing == standingNew && enrolled {
		standing = "has a certificate"
	}
	row("standing", "%s", standing)
	if s.Standing == standingPending {
		// Of the key that is there, and not of what somebody has written down.
		code := pairing.Of(h.PublicKey()).String()
		row("pairing code", "%s", code)
		row("to approve", "cloudlessctl workers approve %s", code)
	}
	if ends, ok := certificateEnd(h.Files().Cert); ok && enrolled {
		row("certificate", "until %s (%s)", ends.UTC().Format(time.RFC3339), inWords(ends.Sub(now)))
	}
	if running && (s.Standing == standingMember || s.Standing == standingExpired) {
		session := string(s.Session)
		if s.SessionText != "" {
			session += ", " + s.SessionText
		}
		if s.Coordinator != "" {
			session += " (" + s.Coordinator + ")"
		}
		row("session", "%s", session)
		registration := s.Registration
		if s.Instance != "" {
			registration += " as " + s.Instance
		}
		row("registration", "%s", registration)
		stream := s.Stream
		if s.Collector != "" {
			stream += " (" + s.Collector + ")"
		}
		row("stream", "%s", stream)
		row("backlog", "%s", s.backlog())
		if s.Plan != 0 {
			row("plan", "revision %d, profile %s", s.Plan, s.Profile)
		}
		if s.ClockOffset != nil {
			row("clock", "%s ahead of the coordinator's", time.Duration(*s.ClockOffset)*time.Millisecond)
		}
	}
	if s.Error != "" {
		row("last error", "%s ago: %s", max(now.Sub(s.ErrorAt), 0).Truncate(time.Second), s.Error)
	}
}

// backlog says by how much the collector is behind, and where that is kept.
func (s Status) backlog() string {
	text := "none"
	if s.Waiting > 0 {
		size := fmt.Sprintf("%.1f MiB", float64(s.Waiting)/float64(model.MiB))
		if s.Waiting < uint64(model.MiB) {
			size = fmt.Sprintf("%d KiB", (s.Waiting+1023)/1024)
		}
		text = fmt.Sprintf("%s, the oldest for %s", size, time.Duration(s.WaitingFor)*time.Second)
	}
	if s.Spool != "" {
		text += "; kept in memory, as the disk does not take it: " + s.Spool
	}
	return text
}

// certificateEnd reads when the certificate in a file ends.
func certificateEnd(path string) (ends time.Time, ok bool) {
	data, err := disk.Read(path, 64<<10)
	if err != nil {
		return time.Time{}, false
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return time.Time{}, false
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return time.Time{}, false
	}
	return leaf.NotAfter, true
}

// printable keeps what came over the network from steering a terminal.
func printable(text string) string {
	text = strings.ReplaceAll(text, "\n", ";")
	return model.Line(text, len(text))
}

// inWords says when something happens.
func inWords(d time.Duration) string {
	text := max(d, -d).Truncate(time.Minute).String()
	text = strings.TrimSuffix(text, "0s")
	if text == "" {
		text = "1m"
	}
	if d < 0 {
		return text + " ago"
	}
	return "in " + text
}
