// Package report turns samples of programs into rows, a table and JSON.
//
// A [Sample] is one run of one program. [Summarise] makes a [Row] per program;
// the ratio to the reference is the median of the ratios of each round, not the
// ratio of the medians: runs of one round are neighbours in time, so whatever
// slowed the machine down for a while slowed down both.
package report
