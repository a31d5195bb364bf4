package exact

import (
	"cmp"
	"context"
	"slices"
)

// findings applies all rules.
func (p *plan) findings(ctx context.Context) ([]Finding, error) {
	findings, err := p.baseFindings(ctx)
	if err != nil {
		return nil, err
	}
	findings = slices.Concat(findings, p.pinned(), p.builtinDefaults(), p.early(), p.buildkitFindings())
	for i := range findings {
		findings[i].File = p.opts.Filename
	}
	slices.SortStableFunc(findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Rule, b.Rule))
	})
	return findings, nil
}
