// Package history remembers how long commands took, and says from that how long a
// plan will take.
//
//	store := history.Store{}
//	project := history.Project(context, dockerfile)
//	err := store.Append(project, history.Record{
//		Time: time.Now(), Build: rand.Text(), Builder: "engine", CPUs: runtime.NumCPU(),
//		Runs: []history.Run{history.RunOf(step, took)},
//	})
//
//	past, err := store.Load(project)
//	if forecast := past.Forecast(plan, history.ForecastOptions{Builder: "engine"}); forecast != nil {
//		fmt.Println(forecast.Total, "from", forecast.Builds, "builds")
//	}
//
// # What a forecast means
//
// It is the time of running all known commands, as if nothing were cached. Which steps
// BuildKit will find in its cache cannot be known before it looks: a build that has
// little to do takes less. What is not a command (pulling, copying, exporting,
// pushing) is left out, and so are commands that never ran, which Forecast.Unknown
// counts. There is no forecast without history.
//
// A command is looked up in three ways, of which the first that finds something counts:
//
//	exact   the same step: Step.ID is equal, so is all that it depends on apart from
//	        the files of the build context
//	step    the same command line in a stage of the same name, executed on the same
//	        platform, natively or emulated as now; another base, another ARG, or
//	        something else before it
//	scaled  the same, but on another platform. If it was emulated and will not be, or
//	        the other way round, the emulator's factor applies: the median of what was
//	        measured of the project's commands on the builder, 10 to begin with.
//
// What QEMU spent its time in is that of the newest build that emulated the command on
// the same platform, by exact or step. It is never scaled.
//
// The estimate is the median of the last five measurements, of the same builder if it
// has any. Its spread is their median deviation, but at least a quarter if there are
// fewer than three of them, and at least a half if it is scaled: measurements that
// agree by chance prove little.
//
// Forecast.Total simulates the plan with one command per processor at a time.
// Commands are measured while others ran beside them, so that with more platforms
// than processors the total tends to be too long, not too short. The time of a
// platform is its longest chain of commands that wait for each other.
//
// # The files
//
// A project is a context and a Dockerfile, and has one file in mabuild/history in the
// user's cache folder, named by a hash of the two paths. A line is a JSON object:
//
//	{"v":1,"time":1764102919,"build":"…","builder":"engine","cpus":2,"steps":[
//	 {"id":"sha256:…","stage":"build","instruction":"2f0c…","platform":"linux/arm64","emulated":true,"ms":180782,
//	  "programs":[{"name":"cc1","ms":128000,"percent":78}]}]}
//
// Nothing of a command's text, arguments or environment is kept, only a hash. The names
// of at most three programs that took most of its time under QEMU are kept, without
// their directories and cut to 64 bytes.
//
// Several processes may build at once. A record is written at the end of the file
// (O_APPEND) by one write, which the kernel does not mix with another one's. Only
// cutting a file that has grown beyond 256 KiB needs a lock (flock): its newest half is
// written to another file that is renamed over it, and writers, who share the lock,
// must not be writing to the old one meanwhile. On file systems without locks, and on
// Windows, a record can get lost then; on network file systems two records written at
// the same time can damage each other. A line that cannot be read is skipped, and no
// command depends on the history: errors are for the log.
//
// Of a project, the last 200 builds count. The first record of a new project removes
// the files that nobody has added to for 180 days.
package history
