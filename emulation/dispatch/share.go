package dispatch

import (
	"fmt"
	"strconv"
	"strings"
)

// ParseShare reads a part of all: "5%" is 0.05. Empty is none.
func ParseShare(text string) (float64, error) {
	if text == "" {
		return 0, nil
	}
	number, found := strings.CutSuffix(text, "%")
	percent, err := strconv.ParseFloat(number, 64)
	// Comparisons with NaN are false.
	if !found || err != nil || !(percent >= 0 && percent <= 100) || strings.Trim(number, "0123456789.") != "" {
		return 0, fmt.Errorf("reading the share %q: it is no percentage from 0%% to 100%%; write 5%%, say", text)
	}
	return percent / 100, nil
}
