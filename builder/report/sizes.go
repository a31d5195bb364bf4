package report

import "fmt"

// colours is the number of colours for layers in the page's style.
const colours = 8

// sizes compares the layers of the platforms' images by their place: what the
// Dockerfile does on every platform is at the same place on every one.
type sizes struct {
	Platforms []sizeBar
	Layers    []layerRow
}

type sizeBar struct {
	Name, Size string
	Bar        []segment
}

type layerRow struct {
	Class, Name string
	Sizes       []string // by platform, empty if it has no such layer
}

func newSizes(b *Build) *sizes {
	var largest int64
	most := 0
	for i := range b.Platforms {
		largest = max(largest, b.Platforms[i].Size())
		most = max(most, len(b.Platforms[i].Layers))
	}
	if largest <= 0 {
		return nil
	}
	s := &sizes{Layers: make([]layerRow, most)}
	for i := range s.Layers {
		s.Layers[i].Class = fmt.Sprintf("c%d", i%colours)
	}
	for i := range b.Platforms {
		p := &b.Platforms[i]
		bar := sizeBar{Name: visible(p.Name)}
		if len(p.Layers) > 0 {
			bar.Size = FormatSize(p.Size())
		}
		x := 0.0
		for k := range s.Layers {
			row := &s.Layers[k]
			if k >= len(p.Layers) {
				row.Sizes = append(row.Sizes, "")
				continue
			}
			l := p.Layers[k]
			if row.Name == "" {
				row.Name = instruction(l.CreatedBy)
			}
			row.Sizes = append(row.Sizes, FormatSize(l.Size))
			width := 100 * float64(l.Size) / float64(largest)
			bar.Bar = append(bar.Bar, segment{number(x), number(width), row.Class, instruction(l.CreatedBy) + "\n" + FormatSize(l.Size)})
			x += width
		}
		s.Platforms = append(s.Platforms, bar)
	}
	for i := range s.Layers {
		if s.Layers[i].Name == "" {
			s.Layers[i].Name = fmt.Sprintf("layer %d", i+1)
		}
	}
	return s
}
