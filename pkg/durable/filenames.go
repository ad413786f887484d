package durable

import (
	"fmt"
	"strconv"
	"strings"
)

// Names of the files in a log's folder. Whatever else is there is left alone.
const (
	segmentSuffix = ".log"
	newSuffix     = ".new"     // a segment that has no record yet
	tornMark      = ".torn-"   // and the offset: bytes that were at the end of the log
	damagedSuffix = ".damaged" // a segment whose header cannot be read
	numberDigits  = 12
)

func segmentName(number uint64) string {
	return fmt.Sprintf("%0*d%s", numberDigits, number, segmentSuffix)
}

// segmentNumber reads the number off the name of a segment, or of a file that
// was set aside. rest is what follows the name of the segment.
func segmentNumber(name string) (number uint64, rest string, ok bool) {
	digits, rest, ok := strings.Cut(name, segmentSuffix)
	if !ok {
		return 0, "", false
	}
	number, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || number == 0 || segmentName(number) != digits+segmentSuffix {
		return 0, "", false
	}
	return number, rest, true
}

func tornName(segment string, offset int64) string {
	return segment + tornMark + strconv.FormatInt(offset, 10)
}
