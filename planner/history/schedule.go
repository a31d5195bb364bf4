package history

import (
	"container/heap"
	"time"

	digest "github.com/opencontainers/go-digest"

	"github.com/mabuild/mabuild/planner/exact"
)

// network is the graph of a plan's steps.
type network struct {
	steps []exact.Step
	needs [][]int // inputs by number
	feeds [][]int // the other way round
	order []int   // inputs first
}

func newNetwork(steps []exact.Step) *network {
	n := &network{steps: steps, needs: make([][]int, len(steps)), feeds: make([][]int, len(steps))}
	number := make(map[digest.Digest]int, len(steps))
	for i, s := range steps {
		number[s.ID] = i
	}
	missing := make([]int, len(steps))
	for i, s := range steps {
		for _, id := range s.Inputs {
			if from, ok := number[id]; ok {
				n.needs[i] = append(n.needs[i], from)
				n.feeds[from] = append(n.feeds[from], i)
				missing[i]++
			}
		}
	}
	for i := range steps {
		if missing[i] == 0 {
			n.order = append(n.order, i)
		}
	}
	for k := 0; k < len(n.order); k++ {
		for _, next := range n.feeds[n.order[k]] {
			if missing[next]--; missing[next] == 0 {
				n.order = append(n.order, next)
			}
		}
	}
	return n
}

// span is how long the steps take, so many at a time. Which one starts first is up to
// BuildKit, which has no priorities; here it is the first in the plan.
func (n *network) span(took func(step int) time.Duration, slots int) time.Duration {
	missing := make([]int, len(n.steps))
	var instant []int // ready, and over at once
	ready, running := &numbers{}, &moments{}
	enter := func(step int) {
		if took(step) > 0 {
			heap.Push(ready, step)
		} else {
			instant = append(instant, step)
		}
	}
	end := func(step int) {
		for _, next := range n.feeds[step] {
			if missing[next]--; missing[next] == 0 {
				enter(next)
			}
		}
	}
	for _, i := range n.order {
		if missing[i] = len(n.needs[i]); missing[i] == 0 {
			enter(i)
		}
	}
	now := time.Duration(0)
	for {
		for len(instant) > 0 {
			step := instant[len(instant)-1]
			instant = instant[:len(instant)-1]
			end(step)
		}
		for running.Len() < slots && ready.Len() > 0 {
			step := heap.Pop(ready).(int)
			heap.Push(running, moment{now + took(step), step})
		}
		if running.Len() == 0 {
			return now
		}
		done := heap.Pop(running).(moment)
		now = done.at
		end(done.step)
	}
}

// chains returns for every step how long the longest chain of steps to its end takes,
// and the step before it in that chain, -1 if it is the first.
func (n *network) chains(took func(step int) time.Duration) (length []time.Duration, before []int) {
	length, before = make([]time.Duration, len(n.steps)), make([]int, len(n.steps))
	for _, i := range n.order {
		before[i] = -1
		for _, input := range n.needs[i] {
			if before[i] < 0 || length[input] > length[before[i]] {
				before[i] = input
			}
		}
		length[i] = took(i)
		if before[i] >= 0 {
			length[i] += length[before[i]]
		}
	}
	return length, before
}

// numbers is a heap of steps, the first of the plan on top.
type numbers []int

func (h numbers) Len() int           { return len(h) }
func (h numbers) Less(i, j int) bool { return h[i] < h[j] }
func (h numbers) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *numbers) Push(x any)        { *h = append(*h, x.(int)) }
func (h *numbers) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// moment is when a step ends.
type moment struct {
	at   time.Duration
	step int
}

// moments is a heap of moments, the next one on top.
type moments []moment

func (h moments) Len() int { return len(h) }
func (h moments) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].step < h[j].step
}
func (h moments) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *moments) Push(x any)   { *h = append(*h, x.(moment)) }
func (h *moments) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
