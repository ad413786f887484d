package ctl

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// number spells a value with all its digits, and without hundreds of zeros.
func number(v float64) string {
	if size := math.Abs(v); size != 0 && (size < 1e-6 || size >= 1e21) {
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

func stamp(at model.Millis) string {
	return time.UnixMilli(int64(at)).UTC().Format("2006-01-02T15:04:05.000Z")
}

// seriesName spells a label set so that it is a PromQL selector, labels in the
// order of names. Names that need quotes stand within the braces.
func seriesName(metric map[string]string) string {
	const nameLabel = "__name__"
	name, named := metric[nameLabel]
	var pairs []string
	if named && !isPlain(name, ":") {
		pairs, name = append(pairs, strconv.Quote(name)), ""
	}
	first := len(pairs)
	for label, value := range metric {
		if label == nameLabel {
			continue
		}
		if !isPlain(label, "") {
			label = strconv.Quote(label)
		}
		pairs = append(pairs, label+"="+strconv.Quote(value))
	}
	slices.Sort(pairs[first:])
	if len(pairs) == 0 && name != "" {
		return name
	}
	return name + "{" + strings.Join(pairs, ",") + "}"
}

// isPlain reports whether a name can stand without quotes.
func isPlain(name, besides string) bool {
	for i, r := range name {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '_' || strings.ContainsRune(besides, r)
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return name != ""
}
