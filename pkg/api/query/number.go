package query

import (
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/prometheus/prometheus/model/histogram"
)

// appendTime appends milliseconds as seconds, with three decimals only when
// they are not zero.
func appendTime(b []byte, t int64) []byte {
	if t < 0 {
		b = append(b, '-')
		t = -t
	}
	b = strconv.AppendInt(b, t/1000, 10)
	if rest := t % 1000; rest != 0 {
		b = append(b, '.', byte('0'+rest/100), byte('0'+rest/10%10), byte('0'+rest%10))
	}
	return b
}

// appendValue appends a value in quotes as Prometheus writes samples: plain
// digits, but an exponent for the very small and the very large.
func appendValue(b []byte, f float64) []byte {
	form := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		form = 'e'
	}
	b = append(b, '"')
	b = strconv.AppendFloat(b, f, form, -1, 64)
	return append(b, '"')
}

// appendPlainValue appends a scalar result in quotes: never with an exponent.
func appendPlainValue(b []byte, f float64) []byte {
	b = append(b, '"')
	b = strconv.AppendFloat(b, f, 'f', -1, 64)
	return append(b, '"')
}

func appendPoint(b []byte, t int64, f float64) []byte {
	b = append(b, '[')
	b = appendTime(b, t)
	b = append(b, ',')
	b = appendValue(b, f)
	return append(b, ']')
}

// appendPair appends [time, second], where scalars and strings write the time
// as a float does: without trailing zeros.
func appendPair(b []byte, t int64, second []byte) []byte {
	b = append(b, '[')
	b = strconv.AppendFloat(b, float64(t)/1000, 'f', -1, 64)
	b = append(b, ',')
	b = append(b, second...)
	return append(b, ']')
}

func appendHistogramPoint(b []byte, t int64, h *histogram.FloatHistogram) []byte {
	b = append(b, '[')
	b = appendTime(b, t)
	b = append(b, ',')
	b = appendHistogram(b, h)
	return append(b, ']')
}

// appendHistogram appends count, sum and the buckets that are not empty, each
// as [which ends belong to it, lower, upper, count].
func appendHistogram(b []byte, h *histogram.FloatHistogram) []byte {
	b = append(b, `{"count":`...)
	b = appendValue(b, h.Count)
	b = append(b, `,"sum":`...)
	b = appendValue(b, h.Sum)
	separator := `,"buckets":[`
	for buckets := h.AllBucketIterator(); buckets.Next(); {
		bucket := buckets.At()
		if bucket.Count == 0 {
			continue
		}
		b = append(b, separator...)
		separator = ","
		b = append(b, '[', endsDigit(bucket.LowerInclusive, bucket.UpperInclusive), ',')
		b = append(appendValue(b, bucket.Lower), ',')
		b = append(appendValue(b, bucket.Upper), ',')
		b = append(appendValue(b, bucket.Count), ']')
	}
	if separator == "," {
		b = append(b, ']')
	}
	return append(b, '}')
}

// endsDigit: 0 only the upper end belongs to the bucket, 1 only the lower,
// 2 neither, 3 both.
func endsDigit(lower, upper bool) byte {
	switch {
	case lower && upper:
		return '3'
	case lower:
		return '1'
	case upper:
		return '0'
	}
	return '2'
}

const hexDigits = "0123456789abcdef"

// appendString appends a JSON string that is also safe inside HTML, as
// encoding/json does: <, >, &, the two separators of JavaScript and broken
// UTF-8 are escaped.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&' {
				i++
				continue
			}
			b = append(b, s[from:i]...)
			b = appendEscaped(b, c)
			i++
			from = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			b = append(append(b, s[from:i]...), `\ufffd`...)
			from = i + size
		case r == '\u2028' || r == '\u2029':
			b = append(append(b, s[from:i]...), `\u202`...)
			b = append(b, hexDigits[r&0xf])
			from = i + size
		}
		i += size
	}
	b = append(b, s[from:]...)
	return append(b, '"')
}

// appendLabelString appends a label name or value, which Prometheus writes with
// the escapes of JSON only.
func appendLabelString(b []byte, s string) []byte {
	b = append(b, '"')
	from := 0
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' {
			b = append(b, s[from:i]...)
			b = appendEscaped(b, c)
			from = i + 1
		}
	}
	b = append(b, s[from:]...)
	return append(b, '"')
}

func appendEscaped(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\n':
		return append(b, '\\', 'n')
	case '\r':
		return append(b, '\\', 'r')
	case '\t':
		return append(b, '\\', 't')
	}
	return append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
}
