package host

import (
	"context"
	"fmt"
	"strings"

	"github.com/mabuild/mabuild/emulation"
)

// plan is what to do about the handlers that an architecture has already.
type plan struct {
	action Action
	// ours is what an earlier Install registered and has to make room.
	ours *emulation.Handler
	// rivals are handlers of others that have to go.
	rivals []emulation.Handler
	// keeper is the handler of somebody else that stays, for Kept.
	keeper emulation.Judgement
}

// going are the handlers that are removed.
func (p plan) going() []emulation.Handler {
	if p.ours == nil {
		return p.rivals
	}
	return append([]emulation.Handler{*p.ours}, p.rivals...)
}

// plan decides; it changes nothing.
func (s *session) plan(ctx context.Context, arch emulation.Arch, want emulation.Handler) (plan, error) {
	handlers, err := s.table.Handlers()
	if err != nil {
		return plan{}, err
	}
	p := plan{action: Installed}
	mine := s.state.find(arch.Name)
	var present bool
	var useless, keepers []emulation.Judgement
	for _, h := range handlers {
		if h.Name != want.Name && !h.Matches(arch.Magic) {
			continue
		}
		named := h.Name == want.Name
		switch {
		case named && h.Enabled && h.Difference(want) == "":
			present = true
		case mine != nil && named && (h.Difference(want) == "" || h.Difference(mine.Handler.Handler) == ""):
			p.ours = &h
		case s.opts.Replace && emulation.KindOf(h) == emulation.QEMU:
			p.rivals = append(p.rivals, h)
		default:
			j := judge(ctx, s.table.Dir(), h)
			if runs := j.Kind != emulation.QEMU || j.Level < emulation.Broken; runs && h.Enabled && h.Matches(arch.Magic) {
				keepers = append(keepers, j)
			} else if named {
				useless = append(useless, j)
			}
		}
	}
	for _, j := range keepers {
		if j.Kind != emulation.QEMU || p.ours == nil && len(p.rivals) == 0 && !present {
			return plan{action: Kept, keeper: j}, nil
		}
	}
	switch {
	case present && (mine == nil || len(p.rivals) == 0):
		return plan{action: Unchanged}, nil
	case len(useless) > 0:
		return plan{}, s.occupied(useless[0])
	case len(p.rivals) > 0:
		p.action = Replaced
	case p.ours != nil:
		p.action = Updated
	}
	return p, nil
}

// judge judges a single handler.
func judge(ctx context.Context, table string, h emulation.Handler) emulation.Judgement {
	handlers := []emulation.Handler{h}
	facts := gather(ctx, table, handlers, false)
	facts.Kernel = emulation.KernelRelease()
	return emulation.Judge(handlers, facts)[0]
}

// occupied is the error for a name that somebody else has for nothing.
func (s *session) occupied(j emulation.Judgement) error {
	return &emulation.Error{
		Op: "registering", Handler: j.Handler.Name,
		Err:  fmt.Errorf("%w, registered by %s, and is useless: %s", emulation.ErrExists, s.origins.owner(j.Handler).Name, texts(j)),
		Hint: "replace it with --replace; `mabuild emulation uninstall` brings it back",
	}
}

// texts says everything against a handler in a line.
func texts(j emulation.Judgement) string {
	var list []string
	for _, v := range j.Verdicts {
		list = append(list, v.Text)
	}
	if list == nil {
		return "it takes other programs"
	}
	return strings.Join(list, "; ")
}
