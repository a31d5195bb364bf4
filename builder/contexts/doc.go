// Package contexts fetches build contexts that are URLs, as far as planning needs
// them: git repositories, tar archives and Dockerfiles on http servers.
//
//	client := contexts.New(contexts.Options{})
//	defer client.Close()
//	opened, err := client.Open(ctx, "https://example.com/app.git#v1.2:services/api")
//	…
//	text, name, err := opened.Dockerfile(ctx, "")
//	fmt.Println(opened.Commit, name, len(text))
//
// In a build, BuildKit fetches the context itself, on its own machine. A plan needs
// the Dockerfile before that, and what decides about operations: whether a URL is
// an archive, and the time of a commit for SOURCE_DATE_EPOCH=context. [Client]
// satisfies exact.Remote, so that the planner gets that from the same fetch.
//
// # What is a URL
//
// What BuildKit takes for one, by BuildKit's own functions:
//
//	https://HOST/NAME.git, http://…    git, because the path ends in .git
//	git://…, ssh://…, USER@HOST:PATH   git
//	github.com/OWNER/NAME              git over https, unless there is such a directory
//	http://… and https://… otherwise   a tar archive, or a Dockerfile
//
// A git URL may end in #REF:SUBDIR, or in a query with ref, tag, branch, subdir,
// checksum (commit), fetch-by-commit and others that do not matter here.
//
// # Git
//
// The program git does the work, with the settings and credentials that its user
// has. The reference is resolved once, by BuildKit's rules (a branch before a tag,
// annotated tags to their commit), and [Context.Pinned] names that commit for every
// build that is to get the same files. One commit is fetched, without history and
// without files if the server can leave them out; a file comes when it is read.
//
// Nothing is checked out: files are read from git's objects, and symbolic links
// are followed inside the context. So hooks, filters, submodules and links of a
// repository do nothing here. Nor can anything ask: git runs without a terminal, and
// with protocols that go over a network. It is killed with all of its helpers when
// the context.Context ends.
//
// # Archives
//
// Plain tar, or tar in gzip, bzip2, zstd or xz (by the program xz), told by the first
// bytes as in BuildKit. They are downloaded to a temporary folder, which Close
// deletes, and not unpacked. Size, number of entries, and size when unpacked have
// limits; see [Options].
//
// # Errors
//
// An [*Error] has the URL without credentials and a hint what to do. Messages of git
// and of http are redacted, too.
//
// # Limits
//
//   - BuildKit's daemon knows nothing of the git settings of a user, who may read
//     with them here what it cannot read without GIT_AUTH_TOKEN.
//   - Line ends are those in the repository: eol=crlf in .gitattributes is not
//     followed, nor are filters such as LFS.
//   - Files in submodules are not there.
package contexts
