// Package layered arranges a directed graph without cycles in columns, sources at
// the left, so that no edge crosses a node.
//
//	graph := layered.Graph{
//		Nodes: []layered.Node{{Width: 80, Height: 40}, {Width: 80, Height: 40}},
//		Edges: []layered.Edge{{From: 0, To: 1, Room: 30}},
//	}
//	drawing, err := layered.Arrange(graph)
//
// It goes the way of Sugiyama: every node gets the column after the last of its
// sources; edges that pass columns get a lane in each; the order in the columns is
// that of the fewest crossings that some rounds of barycentres find; and the
// heights are those nearest to the neighbours' that leave room for all, which
// pooling of neighbours finds exactly for one column at a time.
//
// The result depends on nothing but the graph. The time grows with the number of
// edges times the columns that they pass.
package layered
