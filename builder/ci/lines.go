package ci

import (
	"bytes"
	"fmt"
)

// maxLine keeps an endless line from filling the memory. Lines are cut there.
const maxLine = 1 << 20

// splitter makes lines of a stream.
type splitter struct{ partial []byte }

func (s *splitter) write(p []byte, line func(string)) {
	for len(p) > 0 {
		rest, after, ended := bytes.Cut(p, []byte("\n"))
		if room := maxLine - len(s.partial); len(rest) > room {
			s.partial = append(s.partial, rest[:room]...)
			s.flush(line)
			p = p[room:]
			continue
		}
		s.partial = append(s.partial, rest...)
		p = after
		if ended {
			line(string(s.partial))
			s.partial = s.partial[:0]
		}
	}
}

// flush ends a line that has no end.
func (s *splitter) flush(line func(string)) {
	if len(s.partial) > 0 {
		line(string(s.partial))
		s.partial = s.partial[:0]
	}
}

// excerpt keeps the beginning and the end of what is too long.
type excerpt struct {
	head, tail         []string
	headSize, tailSize int
	omitted            int // lines between them
}

func (e *excerpt) add(line string, most int) {
	size := len(line) + 1
	if len(e.tail) == 0 && e.headSize+size <= most/2 {
		e.head = append(e.head, line)
		e.headSize += size
		return
	}
	e.tail = append(e.tail, line)
	e.tailSize += size
	for e.tailSize > most/2 && len(e.tail) > 1 {
		e.tailSize -= len(e.tail[0]) + 1
		e.tail = e.tail[1:]
		e.omitted++
	}
}

func (e *excerpt) each(line func(string)) {
	for _, text := range e.head {
		line(text)
	}
	if e.omitted > 0 {
		line(fmt.Sprintf("… %d lines are left out …", e.omitted))
	}
	for _, text := range e.tail {
		line(text)
	}
}
