package parity

import "slices"

// Cases returns all cases, in the order of the table.
func Cases() []Case {
	return slices.Concat(
		section("Build contexts and Dockerfiles", contextCases()),
		section("Arguments, secrets and the sandbox of steps", stepCases()),
		section("Platforms", platformCases()),
		section("Caches", cacheCases()),
		section("Labels, annotations and attestations", metaCases()),
		section("Outputs", outputCases()),
		section("Questions, progress and files about the result", tellCases()),
		section("Mistakes", mistakeCases()),
	)
}

func section(name string, cases []Case) []Case {
	for i := range cases {
		cases[i].Section = name
	}
	return cases
}

// Dockerfiles and files that many cases use.
const (
	// small has a step, a copied file and settings.
	small = "FROM busybox AS base\nENV A=1\nRUN echo made > /made\nFROM base AS app\nCOPY a.txt /\nCMD [\"/made\"]\n"
	// scratch has files alone, for any platform.
	scratch = "FROM scratch\nCOPY a.txt /\nENTRYPOINT [\"/a.txt\"]\n"
)

// exits is the difference of exit codes.
func exits(theirs, ours string) Difference {
	return Difference{Fact: "exit code", Buildx: theirs, Mabuild: ours, Reason: ExitCodes}
}

// with are the files of a case: a Dockerfile, a.txt, and others as NAME, TEXT.
func with(dockerfile string, others ...string) map[string]string {
	files := map[string]string{"Dockerfile": dockerfile, "a.txt": "text\n"}
	for pair := range slices.Chunk(others, 2) {
		files[pair[0]] = pair[1]
	}
	return files
}
