// Package report turns run directories into statistics, tables, plots and one
// HTML page.
//
// [Build] reads a bench directory (bench.json, runs/, failovers.json,
// barelog.json) or a single run directory, and writes into it:
//
//	summary.json            a row a cell and slice, versioned ([Summary])
//	tables.md, tables.csv   a row a cell: verdicts, medians with intervals and n
//	plots/<name>.svg, .png  the figures
//	report.html             all of it on one page that asks the network for nothing
//
// What is missing or damaged is shown as a void row with its reason; nothing
// that was planned vanishes. The same input gives the same bytes.
//
// It is not a judge: verdicts come from verdict.json, which harness/check
// writes. It runs nothing, and it never calls a difference between two backends
// an effect of the protocol.
package report
