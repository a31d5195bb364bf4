package parity

func cacheCases() []Case {
	random := with("FROM busybox AS kept\nRUN : {RUN} && head -c 16 /dev/urandom | base64 > /kept\nFROM busybox AS other\nRUN : {RUN} && head -c 17 /dev/urandom | base64 > /other\nFROM scratch\nCOPY --from=kept /kept /\nCOPY --from=other /other /\n")
	fresh := []string{"fresh kept", "fresh other"}
	first, second := "-o {OUT}/first ", "-o {OUT}/second "
	const s3 = "region=nowhere,bucket=caches,name=cache,prefix={RUN}/,endpoint_url={S3},use_path_style=true,access_key_id=id,secret_access_key=key"
	const azure = "account_url={AZURE},account_name=account,secret_access_key=a2V5,container=caches,name=cache,prefix={RUN}/"
	return []Case{
		{Args: second + ".", Before: first + ".", Files: random, Look: fresh},
		{Args: second + "--no-cache .", Before: first + ".", Files: random, Look: fresh},
		{Args: second + "--no-cache-filter other .", Before: first + ".", Files: random, Look: fresh},
		{Args: second + "--no-cache-filter kept --no-cache-filter=other .", Before: first + ".", Files: random, Look: fresh},
		{Args: second + "--no-cache-filter kept,other .", Before: first + ".", Files: random, Look: fresh},
		{
			Args: second + "--cache-from type=registry,ref={REF} .", Before: first + "--cache-to type=registry,ref={REF},mode=max .",
			Prune: true, Files: random, Look: fresh,
		},
		// Case 37: caches of platforms do not replace each other.
		{
			Args: second + "--cache-from {REF} .", Before: first + "--cache-to type=registry,ref={REF},mode=max,image-manifest=true,oci-mediatypes=true,compression=zstd .",
			Prune: true, Files: random, Look: append(fresh, "cache {REF}"),
			Differs: []Difference{{"cache REF", "something", nothing, OwnCaches}},
		},
		{
			Args: second + "--cache-from type=local,src={OUT}/cache .", Before: first + "--cache-to type=local,dest={OUT}/cache,mode=max .",
			Prune: true, Files: random, Look: fresh,
		},
		{
			Args: second + "--cache-from type=local,src={OUT}/cache .", Before: first + "--cache-to type=local,dest={OUT}/cache .",
			Prune: true, Files: random, Look: fresh,
		},
		{
			Args: second + "--cache-from {REF} .", Before: "-t {REF} --push --cache-to type=inline .",
			Prune: true, Files: with("FROM busybox\nRUN echo made > /made\n"), Look: []string{"image {REF}"},
		},
		{
			Args: second + "--cache-from {REF} .", Before: "-t {REF} --push --build-arg BUILDKIT_INLINE_CACHE=1 .",
			Prune: true, Files: with("FROM busybox\nRUN echo made > /made\n"), Look: []string{"image {REF}"},
		},
		{Args: second + "--cache-from {ADDR}/nothing:here --cache-from type=local,src=nothing .", Before: first + ".", Files: random, Look: fresh},
		{
			Args: second + "--cache-from type=s3," + s3 + " .", Before: first + "--cache-to type=s3," + s3 + ",mode=max .",
			Prune: true, Files: random, Look: fresh,
		},
		{
			Args: second + "--cache-from type=azblob," + azure + " .", Before: first + "--cache-to type=azblob," + azure + ",mode=max .",
			Prune: true, Files: random, Look: fresh,
		},
		// Case 38: a cache that fails.
		{Args: second + "--cache-to type=registry,ref=127.0.0.1:1/nobody,ignore-error=true .", Before: first + ".", Files: random, Look: fresh},
		{Args: second + "--cache-to type=registry,ref=127.0.0.1:1/nobody .", Before: first + ".", Files: random, Fails: 1, Look: fresh, Differs: []Difference{{"fresh *", "something", nothing, AllOrNothing}}},
		{Args: second + "--cache-to type=gha --cache-from type=gha .", Before: first + ".", Files: random, Look: fresh},
	}
}
