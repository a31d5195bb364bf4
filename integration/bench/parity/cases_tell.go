package parity

func tellCases() []Case {
	stdout := []string{"text -"}
	described := with("# the number\nARG VERSION=1\nFROM busybox AS base\n# first is what it is\nFROM scratch AS first\nARG VERSION\nCOPY --from=base /bin/sh /\n")
	careless := with("FROM busybox as Base\nRUN true\n")
	meta := "-t {REF} --push --metadata-file {OUT}/meta.json --iidfile {OUT}/iid "
	told := []string{"image {REF}", "json {OUT}/meta.json", "text {OUT}/iid"}
	two := "--platform linux/amd64,linux/arm64 "
	says := func(theirs string) []Difference {
		return []Difference{{"- text", theirs, "(digest of REF)", Digest}}
	}
	more := []Difference{{"*meta.json.buildx.build.ref", "*", missing, Metadata}, {"*meta.json.mabuild.platforms.*", missing, "*", Metadata}}
	id := "(digest of the config of REF)"
	progress := func(mode, says string) Case {
		return Case{Args: "-t {REF} --push --progress " + mode + " .", Files: with(scratch), Look: []string{"image {REF}", "text -"}, Differs: []Difference{{"- text", says, "(digest of REF)", Digest}}}
	}
	return []Case{
		{Note: "nothing to complain about", Args: "--check .", Files: with(scratch), Look: stdout},
		{Note: "two warnings", Args: "--check .", Files: careless, Fails: 1, Look: stdout},
		{Args: "--call check " + two + ".", Files: careless, Fails: 1, Look: stdout},
		{Args: "--call=check,format=json .", Files: careless, Fails: 1, Look: []string{"json -"}},
		{Args: "--call=check,ignorestatus=true .", Files: careless, Look: stdout},
		{Note: "a mistake", Args: "--check .", Files: with("FROM busybox\nRUM true\n"), Fails: 1, Look: stdout},
		{Args: "--call outline .", Files: described, Look: stdout},
		{Args: "--call=outline,format=json --target first --build-arg VERSION=2 .", Files: described, Look: []string{"json -"}},
		{Args: "--call targets .", Files: described, Look: stdout},
		{Args: "--call=targets,format=json .", Files: described, Look: []string{"json -"}},
		{Args: "--call=subrequests.describe .", Files: described, Look: stdout},
		{Args: meta + ".", Files: with(small), Look: told, Differs: more},
		{Args: meta + two + ".", Files: with(scratch), Look: told, Differs: more},
		{Args: meta + two + "--provenance=true .", Files: with(scratch), Look: told, Differs: append(more, Difference{"*.local-sessionid:*", missing, "*", OneSession})},
		{Args: "-o {OUT}/o --metadata-file {OUT}/meta.json .", Files: with(small), Look: told[1:2], Differs: more},
		{Args: "-o {OUT}/o --metadata-file {OUT}/meta.json .", Env: []string{"BUILDX_METADATA_PROVENANCE=min"}, Files: with(scratch), Look: told[1:2], Differs: append(more, Difference{"*meta.json.buildx.build.provenance*", "*", missing, Metadata})},
		{Args: "-o {OUT}/o --iidfile {OUT}/iid .", Files: with(small), Fails: 1, Look: told[2:], Differs: []Difference{exits("1", "2")}},
		{Args: "-t {REF} -o type=oci,dest={OUT}/x.tar --metadata-file {OUT}/meta.json --iidfile {OUT}/iid .", Files: with(small), Look: append([]string{"oci {OUT}/x.tar"}, told[1:]...), Differs: append(more, Difference{"OUT/x.tar * annotation org.opencontainers.image.created", "*", missing, SameBytes})},
		{Args: "-q -t {REF} --push .", Files: with(scratch), Look: []string{"image {REF}", "text -"}, Differs: says(id)},
		{Args: "-q " + two + "-t {REF} --push .", Files: with(scratch), Look: []string{"image {REF}", "text -"}},
		{Args: "-q -o {OUT}/o .", Files: with(scratch), Look: []string{"files {OUT}/o", "text -"}},
		progress("plain", ""), progress("auto", ""), progress("quiet", id), progress("none", ""), progress("rawjson", ""),
		{Args: "-t {REF} --push .", Env: []string{"BUILDKIT_PROGRESS=quiet"}, Files: with(scratch), Look: []string{"image {REF}", "text -"}, Differs: says("")},
	}
}
