package layered

import (
	"cmp"
	"slices"
)

// rounds of sorting by barycentre; few graphs get better after that.
const rounds = 12

// order finds an order of the items of every column with few crossings.
func (a *arrangement) order() {
	best, fewest := a.snapshot(), a.crossings()
	for round := 0; round < rounds && fewest > 0; round++ {
		if round%2 == 0 {
			for c := 1; c < len(a.items); c++ {
				a.sort(c, false)
			}
		} else {
			for c := len(a.items) - 2; c >= 0; c-- {
				a.sort(c, true)
			}
		}
		if n := a.crossings(); n < fewest {
			best, fewest = a.snapshot(), n
		}
	}
	a.items = best
}

func (a *arrangement) snapshot() [][]*item {
	copied := make([][]*item, len(a.items))
	for i, column := range a.items {
		copied[i] = slices.Clone(column)
	}
	return copied
}

// positions returns the place of every item in its column.
func (a *arrangement) positions(column int) map[*item]int {
	at := make(map[*item]int, len(a.items[column]))
	for i, it := range a.items[column] {
		at[it] = i
	}
	return at
}

// sort orders a column by the mean place of the neighbours at one side. Items
// without any stay between the same neighbours.
func (a *arrangement) sort(column int, right bool) {
	side := column - 1
	if right {
		side = column + 1
	}
	at := a.positions(side)
	weight := make(map[*item]float64, len(a.items[column]))
	last := -1.0
	for _, it := range a.items[column] {
		sum, n := 0, 0
		for _, other := range it.neighbours(right) {
			sum += at[other]
			n++
		}
		if n > 0 {
			last = float64(sum) / float64(n)
		}
		weight[it] = last
	}
	slices.SortStableFunc(a.items[column], func(x, y *item) int { return cmp.Compare(weight[x], weight[y]) })
}

func (it *item) neighbours(right bool) []*item {
	var list []*item
	if right {
		for _, l := range it.out {
			list = append(list, l.to)
		}
		return list
	}
	for _, l := range it.in {
		list = append(list, l.from)
	}
	return list
}

// crossings counts the pairs of links that cross, as Barth, Jünger and Mutzel do:
// the inversions among the right ends when the links are sorted by the left ones.
func (a *arrangement) crossings() int {
	total := 0
	for c := 0; c+1 < len(a.items); c++ {
		at := a.positions(c + 1)
		tree := make([]int, len(a.items[c+1])+1)
		seen := 0
		for _, it := range a.items[c] {
			var ends []int
			for _, l := range it.out {
				ends = append(ends, at[l.to])
			}
			for _, end := range ends { // links of one item do not cross
				for i := end + 1; i > 0; i -= i & -i {
					total -= tree[i]
				}
				total += seen
			}
			for _, end := range ends {
				for i := end + 1; i < len(tree); i += i & -i {
					tree[i]++
				}
				seen++
			}
		}
	}
	return total
}
