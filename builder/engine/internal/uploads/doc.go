// Package uploads makes concurrent pushes of one engine upload each blob once.
//
// Every platform of a build is pushed by a job of its own, and each job asks the
// registry for a layer (HEAD) before it uploads it (POST, PUT). Platforms that share a
// layer and push it at the same moment all hear that it is not there, and all upload
// it. [Uploads] sits in the HTTP clients of the engine's registries and lets the others
// wait: whoever asks first has the claim to the blob, and keeps it when the answer is
// 404; the next HEAD of the same blob in the same repository is sent when that upload
// has ended.
//
// A claim is an expectation and no lock. It ends with the answer to the PUT that names
// the digest or to a POST that mounted the blob, whatever the answer is, and by itself
// if no upload begins within [Patience]; then the next one asks, and uploads. Nothing
// is kept about blobs that the registry has.
//
// Requests and the order that they come in:
// https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pushing-blobs
package uploads
