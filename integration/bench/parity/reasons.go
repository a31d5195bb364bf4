package parity

// Reason is why a documented difference is there.
type Reason string

// The reasons, by the headings that they have on the page.
const (
	ExitCodes     Reason = "Exit codes"
	Digest        Reason = "The digest on standard output"
	NoAttestation Reason = "Attestations only on request"
	OwnCaches     Reason = "A cache for each platform"
	SameBytes     Reason = "No time in an OCI layout"
	Metadata      Reason = "The metadata file"
	OneSession    Reason = "One session for all platforms"
	Kept          Reason = "A build without an output"
	AllOrNothing  Reason = "All or nothing"
	Once          Reason = "Each platform once"
	Refused       Reason = "Refused before anything starts"
	Numbers       Reason = "Stages by number"
	LoadAll       Reason = "An archive for docker load has all platforms"
	ArchiveSplit  Reason = "platform-split of archives"
	Unsupported   Reason = "Not supported"
)

// reason is one with its text.
type reason struct {
	Reason
	text string
}

// reasons returns all reasons, in the order of the page.
func reasons() []reason {
	return []reason{
		{ExitCodes, "buildx ends with 1 whatever was wrong. mabuild tells scripts what it was: 1 the build failed, 2 the command line is wrong, " +
			"3 something cannot be emulated, 4 a base is not made for a platform, 5 the daemon was lost, 6 a registry refused or does not answer."},
		{Digest, "mabuild prints the digest by which the result can be pulled, whatever `--progress` is, and with `-q` nothing else. " +
			"buildx prints something only with `-q`: for one platform the digest of the configuration, by which no registry finds an image. " +
			"`--iidfile` and `--metadata-file` have that one with both programs."},
		{NoAttestation, "buildx attests provenance unless it is told not to, and an image for one platform becomes an index with an entry for `unknown/unknown`, " +
			"which some consumers do not take. mabuild attests what `--provenance`, `--sbom` and `--attest` ask for. " +
			"All other command lines here ran with `BUILDX_NO_DEFAULT_ATTESTATIONS=1`, which mabuild does not need."},
		{OwnCaches, "Each platform's cache is at a reference of its own, REF-linux-amd64, or in a directory of its own, since whoever exports to one place last " +
			"replaces what the others wrote. `--cache-from` finds them all. `--cache-to …,platform-split=false` leaves the reference as it is."},
		{SameBytes, "buildx writes the time of the build beside an image in the index of an OCI layout or an archive. mabuild leaves it out: " +
			"two builds of the same image are the same bytes."},
		{Metadata, "`buildx.build.ref` is for `buildx history` and `buildx.build.provenance` repeats the provenance that buildx makes by default " +
			"(`BUILDX_METADATA_PROVENANCE=disabled` is set in all other cases). mabuild has `mabuild.platforms` instead: digest, size, seconds and more of every platform."},
		{OneSession, "Provenance names the session from which the context came, because mabuild sends the context of all platforms once, through a session of its own. " +
			"It is another one in every build, as the times in provenance are."},
		{Kept, "What buildx builds without an output is nowhere but in the daemon's cache. mabuild keeps it in its image store, from which `mabuild push` sends it."},
		{AllOrNothing, "Without `ignore-error=true` a cache that cannot be exported fails the build with both programs. buildx has written the files before it finds out; " +
			"mabuild writes files when the whole build has succeeded."},
		{Once, "linux/arm64/v8 and linux/aarch64 are two names of linux/arm64. buildx gives the index two equal entries; mabuild builds each platform once."},
		{Refused, "mabuild checks the command line before it starts anything, and refuses what buildx lets pass: an architecture that does not exist, " +
			"or two outputs that would write to one place."},
		{Numbers, "`--target 0` is what the Dockerfile reference allows for `COPY --from=0`. BuildKit takes names only; mabuild tells it the name of the stage with that number."},
		{LoadAll, "buildx cannot write an archive for `docker load` of several platforms. mabuild writes one that newer Docker reads with all of them, " +
			"and older Docker with the platform that runs there."},
		{ArchiveSplit, "BuildKit ignores `platform-split` when it writes an archive. mabuild does what it says, as in a directory."},
		{Unsupported, "mabuild says so and ends with 2. These are flags of buildx that it does not have: `--builder` (there is `--node`), `--policy`, `-D`."},
	}
}
