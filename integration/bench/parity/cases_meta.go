package parity

func metaCases() []Case {
	push := []string{"image {REF}"}
	created := Difference{"OUT/x.tar image 0 entry annotation org.opencontainers.image.created", "*", missing, SameBytes}
	session := Difference{"REF attestation of * https://slsa.dev/provenance/v1.predicate.buildDefinition.externalParameters.request.args.local-sessionid:*", missing, "*", OneSession}
	two := "-t {REF} --push --platform linux/amd64,linux/arm64 "
	return []Case{
		{Args: "-t {REF} --push --label a=b --label=c .", Files: with(scratch + "LABEL a=dockerfile d=e\n"), Look: push},
		// Case 71: annotations get where they are told to.
		{Args: "-t {REF} --push --annotation a=b .", Files: with(scratch), Look: push},
		{Args: two + "--annotation a=b=c .", Files: with(scratch), Look: push},
		{Args: two + "--annotation manifest:a=b --annotation index:c=d .", Files: with(scratch), Look: push},
		{Args: two + "--annotation manifest-descriptor:a=b --annotation=index,manifest:c=d .", Files: with(scratch), Look: push},
		{Args: two + "--annotation manifest[linux/arm64]:a=b --annotation manifest-descriptor[linux/arm64]:c=d .", Files: with(scratch), Look: push},
		{Args: "-o type=oci,dest={OUT}/x.tar --platform linux/amd64,linux/arm64 --annotation index-descriptor:a=b .", Files: with(scratch), Look: []string{"oci {OUT}/x.tar"}, Differs: []Difference{created}},
		{Args: "-o type=image,name={REF},push=true,annotation.a=b,annotation-index.c=d --platform linux/amd64,linux/arm64 .", Files: with(scratch), Look: push},
		{Args: "-t {REF} --push --annotation index:a=b .", Files: with(scratch), Fails: 1, Look: push, Differs: []Difference{exits("1", "2")}},
		// Case 59: no entries for unknown/unknown that nobody asked for.
		{Args: "-t {REF} --push .", Env: []string{"BUILDX_NO_DEFAULT_ATTESTATIONS=0"}, Files: with(scratch), Look: push, Differs: []Difference{
			{"REF *", "*", "*", NoAttestation},
		}},
		{Args: "-t {REF} --push --provenance=false .", Env: []string{"BUILDX_NO_DEFAULT_ATTESTATIONS=0"}, Files: with(scratch), Look: push},
		{Args: "-t {REF} --push --provenance=true .", Files: with(small), Look: push, Differs: []Difference{session}},
		{Args: two + "--provenance mode=max .", Files: with(scratch), Look: push, Differs: []Difference{session}},
		{Args: "-t {REF} --push --provenance mode=min,builder-id=https://builder.example,version=v1 .", Files: with(small), Look: push, Differs: []Difference{session}},
		{Args: "-t {REF} --push --attest type=provenance,mode=max,inline-only=true --attest=type=sbom,disabled=true .", Files: with(small), Look: push, Differs: []Difference{session}},
		{Args: "-t {REF} --push --attest type=provenance,disabled=true .", Files: with(scratch), Look: push},
		{Args: "-t {REF} --push --sbom=false .", Files: with(scratch), Look: push},
		{Args: "-o {OUT} --provenance=true .", Files: with(scratch), Look: []string{"files {OUT}"}, Differs: []Difference{
			{"OUT provenance.json.*.local-sessionid:*", missing, "*", OneSession},
		}},
	}
}
