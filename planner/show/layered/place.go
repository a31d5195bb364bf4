package layered

import (
	"cmp"
	"slices"
)

// sweeps over the columns in which heights settle.
const sweeps = 16

// laneWeight makes edges that pass columns straight at the cost of nodes.
const laneWeight = 4.0

// heights puts the items of every column as near to their neighbours as the
// order allows.
func (a *arrangement) heights() {
	for _, column := range a.items {
		y := 0.0
		for i, it := range column {
			if i > 0 {
				y += distance(column[i-1], it)
			}
			it.y = y
		}
	}
	a.ports()
	for sweep := range sweeps {
		for i := range a.items {
			c := i
			if sweep%2 == 1 {
				c = len(a.items) - 1 - i
			}
			settle(a.items[c], sweep)
		}
	}
}

// distance is the least between the middles of two items of a column.
func distance(above, below *item) float64 {
	gap := nodeGap
	if above.node < 0 || below.node < 0 {
		gap = laneGap
	}
	return above.height/2 + gap + below.height/2
}

// ports spreads the ends of edges over the sides of nodes, in the order of where
// they lead.
func (a *arrangement) ports() {
	at := make(map[*item]int)
	for _, column := range a.items {
		for i, it := range column {
			at[it] = i
		}
	}
	for _, it := range a.nodes {
		in, out := slices.Clone(it.in), slices.Clone(it.out)
		slices.SortStableFunc(in, func(x, y *link) int { return cmp.Compare(at[x.from], at[y.from]) })
		slices.SortStableFunc(out, func(x, y *link) int { return cmp.Compare(at[x.to], at[y.to]) })
		for i, l := range in {
			l.toY = port(i, len(in), it.height)
		}
		for i, l := range out {
			l.fromY = port(i, len(out), min(it.height, a.graph.Nodes[it.node].Height))
		}
	}
}

// port is the place of the i-th of n ends, from the middle of the side.
func port(i, n int, height float64) float64 {
	step := min(height/float64(n+1), 2*laneGap)
	return (float64(i) - float64(n-1)/2) * step
}

// pool is a run of items that touch, with the mean of what they want.
type pool struct {
	weight, sum float64
	count       int
}

// settle moves the items of a column to the places that are nearest, by least
// squares, to those that straight edges would give them: neighbours that want to
// pass each other are pooled.
func settle(column []*item, sweep int) {
	offset := 0.0
	offsets := make([]float64, len(column))
	var pools []pool
	for i, it := range column {
		if i > 0 {
			offset += distance(column[i-1], it)
		}
		offsets[i] = offset
		want, weight := it.wish(sweep)
		pools = append(pools, pool{weight, weight * (want - offset), 1})
		for len(pools) > 1 {
			above, below := pools[len(pools)-2], pools[len(pools)-1]
			if above.sum/above.weight <= below.sum/below.weight {
				break
			}
			pools = append(pools[:len(pools)-2], pool{above.weight + below.weight, above.sum + below.sum, above.count + below.count})
		}
	}
	i := 0
	for _, p := range pools {
		for range p.count {
			column[i].y = p.sum/p.weight + offsets[i]
			i++
		}
	}
}

// wish is where an item wants to be, and how much. The first sweeps look to one
// side each, the last ones to both.
func (it *item) wish(sweep int) (y, weight float64) {
	sum, total := 0.0, 0.0
	pull := func(y float64, other *item) {
		w := 1.0
		if it.node < 0 && other.node < 0 {
			w = laneWeight
		}
		sum += w * y
		total += w
	}
	both := sweep >= sweeps/2
	if both || sweep%2 == 0 || len(it.out) == 0 {
		for _, l := range it.in {
			pull(l.from.y+l.fromY-l.toY, l.from)
		}
	}
	if both || sweep%2 == 1 || len(it.in) == 0 {
		for _, l := range it.out {
			pull(l.to.y+l.toY-l.fromY, l.to)
		}
	}
	if total == 0 {
		return it.y, 0.01
	}
	return sum / total, total
}

// draw turns heights into places on a sheet.
func (a *arrangement) draw() Drawing {
	top, bottom := a.extent()
	columns := a.abscissas()
	last := columns[max(len(columns)-1, 0):]
	d := Drawing{Height: bottom - top}
	if len(last) > 0 {
		d.Width = last[0].right
	}
	for i, it := range a.nodes {
		c, width := columns[it.column], a.graph.Nodes[i].Width
		d.Nodes = append(d.Nodes, Box{(c.left + c.right - width) / 2, it.y - it.height/2 - top, width, it.height})
	}
	for i, e := range a.graph.Edges {
		var path Path
		for k, l := range a.routes[i] {
			if k == 0 {
				y := l.from.y + l.fromY - top
				from := d.Nodes[e.From]
				path = append(path, Segment{Point{from.X + from.Width, y}, Point{columns[l.from.column].right, y}})
			}
			y, c := l.to.y+l.toY-top, columns[l.to.column]
			end := c.right
			if l.to.node >= 0 {
				end = d.Nodes[e.To].X
			}
			path = append(path, Segment{Point{c.left - c.room, y}, Point{end, y}})
		}
		d.Edges = append(d.Edges, path)
	}
	return d
}

// extent returns the upper and the lower end of all items.
func (a *arrangement) extent() (top, bottom float64) {
	for i, column := range a.items {
		for k, it := range column {
			if i == 0 && k == 0 {
				top, bottom = it.y-it.height/2, it.y+it.height/2
			}
			top, bottom = min(top, it.y-it.height/2), max(bottom, it.y+it.height/2)
		}
	}
	return top, bottom
}

// span is a column on the sheet, with the room for labels before it.
type span struct{ left, right, room float64 }

// abscissas finds the places of the columns. The more links turn between two of
// them, the more room they get.
func (a *arrangement) abscissas() []span {
	spans := make([]span, len(a.items))
	for _, e := range a.graph.Edges {
		s := &spans[a.column[e.To]]
		s.room = max(s.room, e.Room)
	}
	x := 0.0
	for c, column := range a.items {
		width, turns := 0.0, 0
		for _, it := range column {
			if it.node >= 0 {
				width = max(width, a.graph.Nodes[it.node].Width)
			}
			turns += len(it.in)
		}
		if c > 0 {
			x += spans[c].room + min(minTurn+3*float64(turns), maxTurn)
		}
		spans[c].left, spans[c].right = x, x+width
		x += width
	}
	return spans
}
