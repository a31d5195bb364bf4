package parity

func contextCases() []Case {
	push, files := []string{"image {REF}"}, []string{"files {OUT}"}
	ignoring := "FROM scratch\nCOPY . /\n"
	return []Case{
		{Args: "-t {REF} --push .", Files: with(small), Look: push},
		// Case 43: git contexts.
		{Args: "-o {OUT} {GIT}", Look: files},
		{Args: "-o {OUT} {GIT}#main:sub", Look: files},
		{Args: "-o {OUT} -f other.Dockerfile {GIT}#v1", Look: files},
		{Args: "-o {OUT} {HTTP}/context.tar", Look: files},
		{Args: "-o {OUT} -f sub/Dockerfile {HTTP}/context.tar", Look: files},
		{Note: "the archive is the context", Args: "-o {OUT} -", Files: map[string]string{"in.tar/Dockerfile": scratch, "in.tar/a.txt": "text\n"}, Stdin: "in.tar", Look: files},
		{Note: "standard input is a Dockerfile", Args: "-o {OUT} -", Files: map[string]string{"in": "FROM scratch\nCOPY <<E /here\ntext\nE\n"}, Stdin: "in", Look: files},
		{Args: "-o {OUT} -f - .", Files: with("FROM nothing\n", "in", scratch), Stdin: "in", Look: files},
		{Args: "-o {OUT} -f sub/My.Dockerfile .", Files: with("FROM nothing\n", "sub/My.Dockerfile", scratch), Look: files},
		{Args: "-o {OUT} -f {HTTP}/Dockerfile .", Files: with("FROM nothing\n"), Look: files},
		{Note: "the file is called dockerfile", Args: "-o {OUT} .", Files: map[string]string{"dockerfile": scratch, "a.txt": "text\n"}, Look: files},
		{Note: "a .dockerignore with an exception", Args: "-o {OUT} .", Files: with(ignoring, ".dockerignore", "*.txt\n!b.txt\n", "b.txt", "b", "sub/c.txt", "c", "sub/d", "d"), Look: files},
		{Note: "My.Dockerfile.dockerignore goes before .dockerignore", Args: "-o {OUT} -f My.Dockerfile .", Files: with("FROM nothing\n", "My.Dockerfile", ignoring, ".dockerignore", "a.txt\n", "My.Dockerfile.dockerignore", "sub\n", "sub/c", "c"), Look: files},
		{Note: "an empty My.Dockerfile.dockerignore", Args: "-o {OUT} -f My.Dockerfile .", Files: with("FROM nothing\n", "My.Dockerfile", ignoring, ".dockerignore", "a.txt\n", "My.Dockerfile.dockerignore", ""), Look: files},
		{Args: "-o {OUT} --build-context=lib=lib .", Files: with("FROM scratch\nCOPY --from=lib . /\n", "lib/b.txt", "b"), Look: files},
		{Args: "-o {OUT} --build-context=lib={GIT}#main:sub .", Files: with("FROM scratch\nCOPY --from=lib . /\n"), Look: files},
		{Args: "-o {OUT} --build-context=lib={HTTP}/context.tar .", Files: with("FROM scratch\nCOPY --from=lib . /\n"), Look: files},
		{Args: "-t {REF} --push --build-context=base=docker-image://busybox .", Files: with("FROM base\nCOPY a.txt /\n"), Look: push},
		{
			Args: "-t {REF} --push --build-context=base=oci-layout://{OUT}/layout .", Files: with("ARG FROM=base\nFROM $FROM\nCOPY a.txt /b\n"),
			Before: "-o type=oci,tar=false,dest={OUT}/layout --build-arg FROM=scratch .", Look: push,
		},
		{
			Args: "-t {REF} --push --build-context=base=oci-layout://{OUT}/layout:v1 .", Files: with("ARG FROM=base\nFROM $FROM\nCOPY a.txt /b\n"),
			Before: "-t {REF} -o type=oci,tar=false,dest={OUT}/layout --build-arg FROM=scratch .", Look: push,
		},
		{Args: "-o {OUT} --build-context=base=docker-image://busybox --target=app .", Files: with("FROM busybox AS base\nRUN false\nFROM scratch AS app\nCOPY --from=base /bin/sh /\n"), Look: files},
	}
}
