package layered

import "fmt"

// Graph is what to arrange.
type Graph struct {
	Nodes []Node
	Edges []Edge
}

// Node is a box of a given size.
type Node struct {
	Width, Height float64
}

// Edge leads from one node to another one, both by index.
type Edge struct {
	From, To int

	// Room is the width of a label. Before To, that much of the edge is straight,
	// and no other edge is nearer than the height of a line.
	Room float64
}

// Drawing is an arrangement.
type Drawing struct {
	Width, Height float64
	Nodes         []Box  // higher than asked for where many edges end
	Edges         []Path // as in Graph
}

// Box is a node at its place.
type Box struct{ X, Y, Width, Height float64 }

// Point is a place, with y growing downwards.
type Point struct{ X, Y float64 }

// Path is the way of an edge: straight pieces, and curves from the end of one to
// the start of the next one. No piece touches a node but at the ends of the edge.
type Path []Segment

// Segment is a straight piece, from left to right.
type Segment struct{ From, To Point }

// Distances in a drawing.
const (
	nodeGap = 26.0 // between nodes in a column
	laneGap = 14.0 // around an edge that passes a column, and between the ends at a node
	minTurn = 46.0 // between columns, for curves
	maxTurn = 180.0
)

// Arrange finds places for all. It is an error if an edge names no node, if the
// edges make a circle, or if there are too many for a picture.
func Arrange(g Graph) (Drawing, error) {
	for i, e := range g.Edges {
		if e.From < 0 || e.To < 0 || e.From >= len(g.Nodes) || e.To >= len(g.Nodes) {
			return Drawing{}, fmt.Errorf("arranging edge %d from %d to %d: there are %d nodes; name one of them", i, e.From, e.To, len(g.Nodes))
		}
	}
	a := &arrangement{graph: g}
	if err := a.columns(); err != nil {
		return Drawing{}, err
	}
	if err := a.lanes(); err != nil {
		return Drawing{}, err
	}
	a.order()
	a.heights()
	return a.draw(), nil
}

// item is a node or a lane for an edge, in a column.
type item struct {
	node   int // -1: a lane
	column int
	height float64
	y      float64 // of the middle

	in, out []*link
}

// link is an edge, or the part of one between two columns.
type link struct {
	from, to *item
	// fromY and toY are the ends of the link, from the middle of the items.
	fromY, toY float64
}

type arrangement struct {
	graph  Graph
	column []int // of nodes
	items  [][]*item
	nodes  []*item
	routes [][]*link // of edges
}

// columns puts every node behind its sources, and those without sources as far to
// the right as they can go.
func (a *arrangement) columns() error {
	n := len(a.graph.Nodes)
	a.column = make([]int, n)
	out, missing := make([][]int, n), make([]int, n)
	for _, e := range a.graph.Edges {
		out[e.From] = append(out[e.From], e.To)
		missing[e.To]++
	}
	var ready, order []int
	for i, count := range missing {
		if count == 0 {
			ready = append(ready, i)
		}
	}
	isSource := make([]bool, n)
	for _, i := range ready {
		isSource[i] = true
	}
	for len(ready) > 0 {
		i := ready[0]
		ready = ready[1:]
		order = append(order, i)
		for _, to := range out[i] {
			a.column[to] = max(a.column[to], a.column[i]+1)
			if missing[to]--; missing[to] == 0 {
				ready = append(ready, to)
			}
		}
	}
	if len(order) < n {
		return fmt.Errorf("arranging %d nodes: %d of them are in or behind a circle; drop an edge", n, n-len(order))
	}
	for i, list := range out {
		if !isSource[i] || len(list) == 0 {
			continue
		}
		nearest := a.column[list[0]]
		for _, to := range list {
			nearest = min(nearest, a.column[to])
		}
		a.column[i] = nearest - 1
	}
	return nil
}

// mostLanes keeps time and memory small; nobody could follow so many lines.
const mostLanes = 50_000

// lanes makes the items, with a lane in every column that an edge passes.
func (a *arrangement) lanes() error {
	total := 0
	for _, e := range a.graph.Edges {
		if total += a.column[e.To] - a.column[e.From]; total > mostLanes {
			return fmt.Errorf("arranging %d edges: they take more than %d lanes; leave some out", len(a.graph.Edges), mostLanes)
		}
	}
	for i, n := range a.graph.Nodes {
		it := &item{node: i, column: a.column[i], height: n.Height}
		a.nodes = append(a.nodes, it)
		a.add(it)
	}
	for _, e := range a.graph.Edges {
		var route []*link
		at := a.nodes[e.From]
		for c := a.column[e.From] + 1; c <= a.column[e.To]; c++ {
			next := a.nodes[e.To]
			if c < a.column[e.To] {
				next = &item{node: -1, column: c}
				a.add(next)
			}
			l := &link{from: at, to: next}
			at.out, next.in = append(at.out, l), append(next.in, l)
			route, at = append(route, l), next
		}
		a.routes = append(a.routes, route)
	}
	for _, it := range a.nodes { // room for the labels of all edges
		it.height = max(it.height, laneGap*float64(len(it.in)+1))
	}
	return nil
}

func (a *arrangement) add(it *item) {
	for len(a.items) <= it.column {
		a.items = append(a.items, nil)
	}
	a.items[it.column] = append(a.items[it.column], it)
}
