package action

import (
	"encoding/csv"
	"fmt"
	"strings"
)

// list reads an input that has one item on a line, written as CSV: an item with a line
// end or a quote in it is quoted. With commas, they part items as well.
func list(text string, commas bool) ([]string, error) {
	in := csv.NewReader(strings.NewReader(text))
	in.FieldsPerRecord = -1
	in.LazyQuotes = true
	records, err := in.ReadAll()
	if err != nil {
		return nil, err
	}
	var items []string
	for _, record := range records {
		switch {
		case !commas:
			items = append(items, strings.Join(record, ","))
		case len(record) == 1:
			items = append(items, strings.Split(record[0], ",")...)
		default:
			items = append(items, record...)
		}
	}
	return trimmed(items), nil
}

// trimmed leaves out what is empty.
func trimmed(items []string) []string {
	var out []string
	for _, item := range items {
		if item = strings.TrimSpace(item); item != "" {
			out = append(out, item)
		}
	}
	return out
}

// boolean reads what YAML 1.2 calls a boolean; empty is false.
func boolean(text string) (bool, error) {
	switch text {
	case "true", "True", "TRUE":
		return true, nil
	case "", "false", "False", "FALSE":
		return false, nil
	}
	return false, fmt.Errorf("%q is neither true nor false; write one of them", text)
}

// fields joins key=value pairs as the values of flags have them.
func fields(pairs ...string) string {
	var b strings.Builder
	out := csv.NewWriter(&b)
	_ = out.Write(pairs) // to memory
	out.Flush()
	return strings.TrimSuffix(b.String(), "\n")
}

// attribute finds the value of a key in such a text.
func attribute(text, key string) (string, bool) {
	in := csv.NewReader(strings.NewReader(text))
	in.LazyQuotes = true
	record, err := in.Read()
	if err != nil {
		return "", false
	}
	for _, field := range record {
		if name, value, found := strings.Cut(field, "="); found && strings.TrimSpace(name) == key {
			return strings.TrimSpace(value), true
		}
	}
	return "", false
}
