package shard

// Reencode reads an announcement and writes what was understood of it.
func Reencode(body []byte) ([]byte, error) {
	a, err := parseAnnouncement(body)
	if err != nil {
		return nil, err
	}
	_, encoded, err := a.encode()
	return encoded, err
}
