package parity

func outputCases() []Case {
	push, files := []string{"image {REF}"}, []string{"files {OUT}/o"}
	two := "--platform linux/amd64,linux/arm64 "
	created := func(place string) []Difference {
		return []Difference{{place + " image 0 entry annotation org.opencontainers.image.created", "*", missing, SameBytes}}
	}
	archive := []Difference{{"OUT/o.tar *", "*", "*", ArchiveSplit}}
	image := func(attrs string) string { return "-o type=image,name={REF},push=true" + attrs + " ." }
	return []Case{
		// Case 92: a build whose result is nowhere.
		{Args: ".", Files: with(scratch), Look: []string{"kept in the store"}, Differs: []Difference{{"kept in the store", nothing, "something", Kept}}},
		{Args: "-t {REF} -t {REF}-two --push .", Files: with(small), Look: []string{"image {REF}", "image {REF}-two"}},
		{Args: "-t {REF} -o type=registry .", Files: with(small), Look: push},
		{Args: image(""), Files: with(small), Look: push},
		{Args: "-t {REF} -o type=image,push=true,oci-mediatypes=false .", Files: with(small), Look: push},
		{Args: image(",oci-mediatypes=true"), Files: with(small), Look: push},
		// Case 46: zstd, and for the layers of the base only by force.
		{Args: image(",compression=zstd"), Files: with(small), Look: push},
		{Args: image(",compression=zstd,compression-level=10,force-compression=true"), Files: with(small), Look: push},
		{Args: image(",compression=uncompressed,force-compression=true"), Files: with(small), Look: push},
		{Args: image(",compression=estargz,force-compression=true"), Files: with(small), Look: push},
		{Args: image(",compression=gzip,compression-level=1,force-compression=true"), Files: with(small), Look: push},
		{Args: image(",rewrite-timestamp=true"), Env: []string{"SOURCE_DATE_EPOCH=1700000000"}, Files: with(small), Look: push, Times: true},
		{Args: "-t {REF} -o type=oci,dest={OUT}/x.tar .", Files: with(small), Look: []string{"oci {OUT}/x.tar"}, Differs: created("OUT/x.tar")},
		// Case 48: one entry for each name.
		{Args: "-t {REF} " + two + "-o type=oci,dest={OUT}/x.tar .", Files: with(scratch), Look: []string{"oci {OUT}/x.tar"}, Differs: created("OUT/x.tar")},
		{Args: "-t {REF} " + two + "-o type=oci,tar=false,dest={OUT}/dir .", Files: with(scratch), Look: []string{"oci {OUT}/dir"}, Differs: created("OUT/dir")},
		{Args: "-o type=oci .", Files: with(scratch), Look: []string{"oci -"}, Differs: created("-")},
		{Args: "-t {REF} -o type=docker,dest={OUT}/x.tar .", Files: with(small), Look: []string{"docker {OUT}/x.tar"}, Differs: created("OUT/x.tar")},
		// Case 49: docker load and several platforms.
		{Args: two + "-t {REF} -o type=docker,dest={OUT}/x.tar .", Files: with(scratch), Fails: 1, Differs: []Difference{{"exit code", "1", "0", LoadAll}}},
		{Args: "-o {OUT}/o .", Files: with(small), Look: files},
		{Args: "-o type=local,dest={OUT}/o " + two + ".", Files: with(scratch), Look: files},
		{Args: "-o type=local,dest={OUT}/o,platform-split=false " + two + ".", Files: with("FROM scratch\nARG TARGETARCH\nCOPY a.txt /$TARGETARCH\n"), Look: files},
		{Note: "a file of both platforms", Args: "-o type=local,dest={OUT}/o,platform-split=false " + two + ".", Files: with(scratch), Fails: 1},
		{Args: "-o type=tar,dest={OUT}/o.tar,platform-split=true .", Files: with(scratch), Look: []string{"tar {OUT}/o.tar"}, Differs: archive},
		{Args: "-o type=tar,dest={OUT}/o.tar,platform-split=false " + two + ".", Files: with("FROM scratch\nARG TARGETARCH\nCOPY a.txt /in/$TARGETARCH\n"), Look: []string{"tar {OUT}/o.tar"}, Differs: archive},
		{Args: "-o type=local,dest={OUT}/o,platform-split=true .", Files: with(scratch), Look: files},
		{Args: "-o type=tar,dest={OUT}/o.tar .", Files: with(small), Look: []string{"tar {OUT}/o.tar"}},
		{Args: "-o type=tar,dest={OUT}/o.tar " + two + ".", Files: with(scratch), Look: []string{"tar {OUT}/o.tar"}},
		{Args: "-o - .", Files: with(scratch), Look: []string{"tar -"}},
		{Args: "-o type=tar .", Files: with(scratch), Look: []string{"tar -"}},
		{Args: "-o type=cacheonly .", Files: with(scratch)},
		{Args: "-t {REF} --push -o {OUT}/o -o type=oci,dest={OUT}/x.tar .", Files: with(small), Look: []string{"image {REF}", "files {OUT}/o", "oci {OUT}/x.tar"}, Differs: created("OUT/x.tar")},
		{Args: "-o type=tar,dest={OUT}/a.tar -o type=tar,dest={OUT}/b.tar .", Files: with(scratch), Look: []string{"tar {OUT}/a.tar", "tar {OUT}/b.tar"}},
	}
}
