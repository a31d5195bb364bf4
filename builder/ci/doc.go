// Package ci is what a build looks like in a CI system: a log in groups, annotations on
// lines of the Dockerfile, and results for the steps that follow. builder/ci/summary
// writes the page about a job, builder/ci/action reads the inputs of a step of GitHub
// Actions.
//
//	system, err := ci.Detect(os.LookupEnv)
//	log := ci.NewLog(os.Stdout, ci.LogOptions{System: system, Secrets: secrets})
//	fmt.Fprintln(log, "building 2 platforms")       // at once
//	fmt.Fprintln(log.Platform("linux/arm64"), line) // when the platform has ended
//	log.Done("linux/arm64", "12 steps · 3m 07s")    // or log.Fail
//	log.Annotate(ci.Annotations(build, "Dockerfile"))
//	err = log.Close()                               // what failed comes last, and open
//
// It is pure: the environment comes through a [Lookup], and everything goes to an
// io.Writer. A system decides how something is written and never what is built, so
// that a build is the same on a desk.
//
// # Systems
//
//	system     found by                groups                    annotations
//	github     GITHUB_ACTIONS=true     ::group:: ::endgroup::    ::error file=…,line=…,title=…::
//	gitlab     GITLAB_CI=true          section_start, _end       lines
//	buildkite  BUILDKITE=true          ---, +++ for what failed  lines
//	teamcity   TEAMCITY_VERSION        blockOpened, blockClosed  message status='ERROR'
//	azure      TF_BUILD=True           ##[group] ##[endgroup]    ##vso[task.logissue …]
//	tekton     MABUILD_CI=tekton       ==> lines                 lines
//	plain      otherwise               ==> lines                 lines
//
// Where the log goes is up to the caller. TeamCity promises to look for service messages
// on standard output only; the others read standard error as well.
//
// MABUILD_CI names a system where it cannot be found out. Runners of Gitea, Forgejo and
// act say that they are GitHub's, and understand the same.
//
// Groups of GitHub and others cannot be nested and platforms build at the same time, so
// a platform's output is kept until it has ended, of more than 8 MiB the beginning and
// the end. A platform that failed is in no group: nothing has to be opened to read why,
// and it is where a viewer of logs scrolls to. A build of one platform needs no group
// and is written as it comes; see [LogOptions].
//
// # Commands of others
//
// What a RUN prints is not to be trusted. Runners take commands out of it:
//
//   - GitHub's, at the beginning of a line after white space "::name", and anywhere in
//     it "##[name]", which it understands from before; its viewer draws the second
//   - Azure's, anywhere, "##vso[" and "##["
//   - TeamCity's, anywhere, "##teamcity["
//   - GitLab's job log, anywhere, "section_start:" and "section_end:" before a carriage
//     return and an escape
//   - Buildkite's, at the beginning of a line that colours may stand before, "---", "+++",
//     "~~~" and "^^^"; and escapes that set times or show links
//
// Every line that is not ours gets a space into what its system would take for a
// command, and nothing else is changed: ": :error::", "# #[group]". Before that, a line
// is made what it looks like. Of escapes only colours are left, what a carriage return
// overwrote is gone (the runner ends a line there, so that the rest could be a
// command), and characters that cannot be seen are written by their number: runners
// compare text by the rules of a language, for which "#" and "#" with a zero-width
// space between them are "##". That is also why a zero-width space must not be what
// parts a command.
//
// GitHub has ::stop-commands::TOKEN for this. It is not used, because rewriting is
// safer:
//
//   - the viewer of logs still draws "##[group]" and "##[error]"; those would have to be
//     rewritten all the same
//   - between stop and start no secret can be masked and no group ended
//   - if the process is killed in between, nothing of the step is understood any more
//   - nobody else has it
//
// Problem matchers, which other steps of a workflow may have set up, still see the
// lines and can make annotations of them, as they do of any compiler's.
//
// # Secrets
//
// [NewLog] tells GitHub's and Azure's runners the secrets, line by line, before it
// writes anything. They mask what the whole job writes. Besides, [Secrets] replaces
// them with *** in all that is written here: as they are, line by line, and as they are
// in URLs, JSON and base64, also where colours part them. Of a secret with several
// lines, those with less than four characters are not hidden. Buildkite's agent is told
// with buildkite-agent redactor add, and GitLab and TeamCity in their settings.
//
// # Annotations
//
// [Annotations] has what failed and what the plan found, once for all platforms that
// it concerns, whose names are the title. GitHub shows ten of a level for each step, and
// says nothing of the others; the tenth then tells how many there are. In messages %,
// CR and LF are escaped, in properties : and , as well.
//
// # Results
//
// [Results] become outputs of GitHub Actions ([WriteGitHub], to the file that
// GITHUB_OUTPUT names), a dotenv report of GitLab ([WriteDotenv]; 5 KiB, 20 variables),
// results of Tekton ([Results.Tekton]; 4096 bytes with all others), meta-data of
// Buildkite ([BuildkiteMetaData], command lines) and parameters of TeamCity and
// variables of Azure ([Log.Describe]). What does not fit is left out whole, the largest
// first, and named.
//
// # Where this is from
//
//   - GitHub: "Workflow commands for GitHub Actions"; ActionCommand.cs, OutputManager.cs
//     and FileCommandManager.cs of actions/runner; command.ts and file-command.ts of
//     actions/toolkit
//   - GitLab: "Job logs", custom collapsible sections, and regex.rb; "Pass dotenv
//     variables to specific jobs"
//   - Buildkite: "Managing log output", header_times_streamer.go of buildkite/agent;
//     "Using build meta-data"
//   - TeamCity: "Service messages"
//   - Azure: "Logging commands", Command.cs of microsoft/azure-pipelines-agent
//   - Tekton: "Emitting results from a Task"; Chains: "Type hinting"
package ci
