package reporttest

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
)

// message is either an answer, which has the ID of a command, or an event.
type message struct {
	ID      int             `json:"id,omitempty"`
	Method  string          `json:"method,omitempty"`
	Params  json.RawMessage `json:"params,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Session string          `json:"sessionId,omitempty"`
	Error   *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

// pipe sends commands and waits for their answers. A message ends with a zero byte.
type pipe struct {
	out   io.Writer
	event func(message) // called by one goroutine

	mu      sync.Mutex
	last    int
	waiting map[int]chan message
	ended   error
}

func newPipe(in io.Reader, out io.Writer, event func(message)) *pipe {
	p := &pipe{out: out, event: event, waiting: make(map[int]chan message)}
	go p.read(bufio.NewReader(in))
	return p
}

func (p *pipe) read(in *bufio.Reader) {
	for {
		text, err := in.ReadBytes(0)
		if err != nil {
			p.end(fmt.Errorf("the browser ended: %w", err))
			return
		}
		var m message
		if err := json.Unmarshal(text[:len(text)-1], &m); err != nil {
			p.end(fmt.Errorf("reading what the browser says: %w", err))
			return
		}
		if m.ID == 0 {
			p.event(m)
			continue
		}
		p.mu.Lock()
		answer := p.waiting[m.ID]
		delete(p.waiting, m.ID)
		p.mu.Unlock()
		if answer != nil {
			answer <- m
		}
	}
}

func (p *pipe) end(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = err
	for _, answer := range p.waiting {
		close(answer)
	}
	p.waiting = nil
}

// call sends a command and decodes the answer into result, unless that is nil.
func (p *pipe) call(session, method string, params, result any) error {
	answer, err := p.send(session, method, params)
	if err != nil {
		return err
	}
	m, ok := <-answer
	switch {
	case !ok:
		return fmt.Errorf("%s: %w", method, p.ended)
	case m.Error != nil:
		return fmt.Errorf("%s: %w", method, errors.New(m.Error.Message))
	case result == nil:
		return nil
	}
	return json.Unmarshal(m.Result, result)
}

func (p *pipe) send(session, method string, params any) (<-chan message, error) {
	raw, err := json.Marshal(params)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended != nil {
		return nil, p.ended
	}
	p.last++
	text, err := json.Marshal(message{ID: p.last, Method: method, Params: raw, Session: session})
	if err != nil {
		return nil, err
	}
	answer := make(chan message, 1)
	p.waiting[p.last] = answer
	_, err = p.out.Write(append(text, 0))
	return answer, err
}
