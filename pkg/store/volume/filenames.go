package volume

import (
	"fmt"
	"strconv"
	"strings"
)

// Names of the files in the folder of a Set. Whatever else is there is left alone.
const (
	newSuffix     = ".new"     // a volume that is being made
	damagedSuffix = ".damaged" // a volume of which nothing can be read
	numberDigits  = 8          // at least
)

func fileName(number uint64, tier Tier) string {
	return fmt.Sprintf("%0*d.%v", numberDigits, number, tier)
}

// NumberOf reads the number off the name of a volume's file; false if it is none, or one that
// is being made or was set aside.
func NumberOf(name string) (number uint64, ok bool) {
	number, _, rest, ok := parseName(name)
	return number, ok && rest == ""
}

// parseName reads the name of a volume, or of one that is being made or was set
// aside. rest is what follows the name of the volume.
func parseName(name string) (number uint64, tier Tier, rest string, ok bool) {
	digits, suffix, _ := strings.Cut(name, ".")
	text, _, _ := strings.Cut(suffix, ".")
	number, err := strconv.ParseUint(digits, 10, 64)
	tier, known := parseTier(text)
	if err != nil || number == 0 || !known {
		return 0, 0, "", false
	}
	rest, ok = strings.CutPrefix(name, fileName(number, tier)) // no other spelling of the number
	return number, tier, rest, ok
}
