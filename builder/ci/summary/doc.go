// Package summary writes what became of a build as a page for a CI system: the job
// summary of GitHub Actions, a note in GitLab or Buildkite.
//
//	err := summary.Write(file, build, summary.Options{Secrets: secrets})
//
// The build is the one of builder/report, as builder/report/record makes it. The page
// has a table of platforms (how commands ran, time, steps from the cache, size,
// digest), why it failed with the last lines of the steps that did, findings, the
// slowest steps, and a timeline.
//
// # Markdown
//
// It is GitHub's ("GitHub Flavored Markdown Spec"), in few forms: headings, tables,
// fenced blocks, and <code>. Nothing of a build can become another one. Text is
// written with every character that has a meaning as a numeric entity, which by that
// specification is always text; in <code>, where neither @names nor :emoji: are looked
// for either. Output is in fenced blocks whose fences are longer than every row of
// backticks in them. Only an https address of plain characters becomes a link.
//
// # The timeline
//
// It is a Gantt chart in Mermaid, which GitHub and GitLab draw ("Creating diagrams").
// Names of steps are reduced to letters, digits and what has no meaning in its
// language, and stand behind another word, so that none is a keyword. Times begin at
// midnight of a winter's day, since Mermaid uses the time zone of whoever looks.
//
// # Size
//
// GitHub refuses more than 1 MiB for a step ("Adding a job summary"). Lines, lists and
// texts have limits of their own; if that is not enough, parts are left out from the
// end: the timeline, the slowest steps, findings, failures. The page says so.
package summary
