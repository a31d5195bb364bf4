package parity

func mistakeCases() []Case {
	// Case 94: exit codes. mistake is one that buildx ends with 1 for, and mabuild with 2.
	mistake := func(args string) Case {
		return Case{Args: args, Files: with(scratch), Fails: 1, Differs: []Difference{exits("1", "2")}}
	}
	unsupported := func(args string) Case {
		return Case{Args: args, Files: with(scratch), Differs: []Difference{{"exit code", "0", "2", Unsupported}}}
	}
	return []Case{
		unsupported("--builder parity -o {OUT}/o ."),
		unsupported("--policy disabled=true -o {OUT}/o ."),
		unsupported("--debug -o {OUT}/o ."),
		{Note: "a step fails", Args: "-o {OUT}/o .", Files: with("FROM busybox\nRUN exit 7\n"), Fails: 1},
		{Note: "a file is missing", Args: "-o {OUT}/o .", Files: with("FROM scratch\nCOPY nothing /\n"), Fails: 1},
		{Args: "-o {OUT}/o .", Files: map[string]string{"a.txt": ""}, Fails: 1, Differs: []Difference{exits("1", "2")}, Note: "there is no Dockerfile"},
		{Note: "a base is at a registry that is not there", Args: "-o {OUT}/o .", Files: with("FROM nothing.example/here\n"), Fails: 1, Differs: []Difference{exits("1", "6")}},
		{Note: "an empty Dockerfile", Args: "-o {OUT}/o .", Files: with(""), Fails: 1},
		{Note: "a stage is missing", Args: "-o {OUT}/o .", Files: with("FROM busybox AS a\nFROM b AS c\nCOPY --from=d / /\n"), Fails: 1, Differs: []Difference{exits("1", "6")}},
		{Args: "-t 127.0.0.1:1/nobody --push .", Files: with(scratch), Fails: 1, Differs: []Difference{exits("1", "6")}},
		mistake(""),
		mistake("-o {OUT}/o nothing"),
		mistake("-o {OUT}/o . ."),
		mistake("-o {OUT}/o -f nothing ."),
		{Args: "-o {OUT}/o --target nothing .", Files: with(scratch), Fails: 1},
		mistake("-o {OUT}/o --platform linux/amd64/v1/x ."),
		{Args: "-o {OUT}/o --platform linux/mine .", Files: with(scratch), Differs: []Difference{{"exit code", "0", "2", Refused}}},
		mistake("--nothing ."),
		mistake("-o type=nothing,dest={OUT}/o ."),
		mistake("-o type=local ."),
		{Args: "-o type=local,dest={OUT}/a -o type=local,dest={OUT}/a .", Files: with(scratch), Differs: []Difference{{"exit code", "0", "2", Refused}}},
		mistake("--push ."),
		mistake("-t Upper/Case:x --push ."),
		mistake("-o {OUT}/o --progress nothing ."),
		mistake("-o {OUT}/o --progress tty ."),
		mistake("-o {OUT}/o --network bridge ."),
		mistake("-o {OUT}/o --ulimit nofile ."),
		mistake("-o {OUT}/o --shm-size lots ."),
		mistake("-o {OUT}/o --add-host host ."),
		mistake("-o {OUT}/o --secret src=a.txt ."),
		mistake("-o {OUT}/o --secret id=s,src=nothing ."),
		mistake("-o {OUT}/o --ssh default=nothing ."),
		mistake("-o {OUT}/o --allow nothing ."),
		mistake("-o {OUT}/o --cache-to type=nothing ."),
		mistake("-o {OUT}/o --cache-from src=x ."),
		mistake("-o {OUT}/o --annotation nothing ."),
		mistake("-o {OUT}/o --attest type=nothing ."),
		{Args: "-o {OUT}/o --provenance mode=nothing .", Files: with(scratch), Fails: 1},
		mistake("-o {OUT}/o --call nothing ."),
		mistake("-o {OUT}/o --resource nothing=1 ."),
		mistake("-o {OUT}/o --build-context nothing ."),
		{Args: "-o type=oci,dest={OUT}/x.tar --iidfile {OUT}/no/where .", Files: with(scratch), Fails: 1},
		{Args: "-o {OUT}/o --metadata-file {OUT}/no/where .", Files: with(scratch), Fails: 1},
		mistake("-o {OUT}/o -q --progress plain ."),
	}
}
