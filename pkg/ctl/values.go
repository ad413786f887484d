package ctl

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/trust/token"
)

// labels is the value of --label, which may be given more than once.
type labels map[string]string

func (l labels) String() string { return labelText(l) }

func (l labels) Set(text string) error {
	key, value, found := strings.Cut(text, "=")
	key = strings.TrimSpace(key)
	if !found || key == "" {
		return fmt.Errorf("want KEY=VALUE")
	}
	if _, twice := l[key]; twice {
		return fmt.Errorf("label %q is given twice", key)
	}
	l[key] = strings.TrimSpace(value)
	return nil
}

// check tells what no machine can have for labels.
func (l labels) check() error {
	if err := token.CheckLabels(l); err != nil {
		return usagef("--label: %v", err)
	}
	return nil
}

// labelText spells labels in the order of their keys.
func labelText(l map[string]string) string {
	var out []string
	for _, key := range slices.Sorted(maps.Keys(l)) {
		value := l[key]
		if strings.ContainsAny(value, " ,\t\"") || value == "" {
			value = strconv.Quote(value)
		}
		out = append(out, key+"="+value)
	}
	return strings.Join(out, ",")
}

// hostPorts is the value of --address, which may be given more than once.
type hostPorts []string

func (h *hostPorts) String() string { return strings.Join(*h, ",") }

func (h *hostPorts) Set(text string) error {
	host, port, err := net.SplitHostPort(text)
	if number, bad := strconv.ParseUint(port, 10, 16); err != nil || host == "" || bad != nil || number == 0 {
		return fmt.Errorf("want HOST:PORT")
	}
	*h = append(*h, text)
	return nil
}

// when spells a time for people, in their time zone.
func when(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.Local().Format("2006-01-02 15:04")
}
