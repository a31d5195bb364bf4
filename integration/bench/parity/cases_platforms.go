package parity

func platformCases() []Case {
	push, files := []string{"image {REF}"}, []string{"files {OUT}"}
	cross := "FROM --platform=$BUILDPLATFORM busybox AS b\nARG TARGETPLATFORM\nARG TARGETVARIANT\nRUN echo $TARGETPLATFORM $TARGETVARIANT > /p\nFROM busybox\nCOPY --from=b /p /\n"
	stages := "FROM scratch AS one\nCOPY a.txt /one\nFROM scratch AS two\nCOPY a.txt /two\n"
	return []Case{
		// Case 60: one platform is a manifest, not an index.
		{Args: "-t {REF} --push --platform linux/arm64 .", Files: with(cross), Look: push},
		{Args: "-t {REF} --push --platform linux/amd64,linux/arm64 .", Files: with(cross), Look: push},
		{Args: "-t {REF} --push --platform linux/arm64 --platform linux/arm/v7,linux/amd64 .", Files: with(cross), Look: push},
		// Case 10: names of one platform are one platform.
		{Args: "-t {REF} --push --platform linux/arm64/v8,linux/aarch64,linux/x86_64 .", Files: with(cross), Look: push, Differs: []Difference{
			{"REF entries", "linux/arm64, linux/arm64, linux/amd64", "linux/arm64, linux/amd64", Once},
		}},
		{Args: "-t {REF} --push --platform linux/arm/v6,linux/amd64/v2,windows/amd64,wasi/wasm .", Files: with(scratch), Look: push},
		// Case 95: what is built without --platform.
		{Args: "-t {REF} --push .", Env: []string{"DOCKER_DEFAULT_PLATFORM=linux/arm64"}, Files: with(cross), Look: push},
		{Args: "-t {REF} --push --platform local .", Files: with(cross), Look: push},
		{Args: "-t {REF} --push --target one .", Files: with(stages), Look: push},
		{Args: "-o {OUT} --target ONE .", Files: with(stages), Look: files},
		{Args: "-o {OUT} --target=0 .", Files: with(stages), Fails: 1, Look: files, Differs: []Difference{
			{"exit code", "1", "0", Numbers}, {"OUT one", missing, "*", Numbers},
		}},
	}
}
