package shard_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/mabuild/mabuild/builder/shard"
)

const genuine = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[
{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:4c3f00000000000000000000000000000000000000000000000000000000ab12","size":7,"platform":{"architecture":"arm","os":"linux","variant":"v7"}},
{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:4c3f00000000000000000000000000000000000000000000000000000000ab13","size":7,"platform":{"architecture":"unknown","os":"unknown"},
"annotations":{"vnd.docker.reference.type":"attestation-manifest","vnd.docker.reference.digest":"sha256:4c3f00000000000000000000000000000000000000000000000000000000ab12"}}],
"annotations":{"dev.mabuild.shard.version":"1","dev.mabuild.shard.run":"17","dev.mabuild.shard.platform":"linux/arm/v7","dev.mabuild.shard.platforms":"linux/amd64,linux/arm/v7",
"dev.mabuild.shard.plan":"{\"the Dockerfile\":\"sha256:00\"}","title":"app"}}`

// FuzzAnnouncement reads what a registry may answer: nothing panics, and what is
// understood is understood again.
func FuzzAnnouncement(f *testing.F) {
	f.Add([]byte(genuine))
	f.Add([]byte(strings.ReplaceAll(genuine, "linux/arm/v7", "windows(10.0.1)/amd64")))
	f.Add([]byte(strings.Replace(genuine, `"architecture":"arm","os":"linux","variant":"v7"`, `"architecture":"aarch64","os":"Linux"`, 1)))
	f.Add([]byte(strings.Replace(genuine, `{\"the Dockerfile\":\"sha256:00\"}`, "null", 1)))
	f.Add([]byte(`{"schemaVersion":2,"manifests":[]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		once, err := shard.Reencode(body)
		if err != nil {
			return
		}
		twice, err := shard.Reencode(once)
		if err != nil {
			t.Fatalf("%v in\n%s", err, once)
		}
		if !bytes.Equal(once, twice) {
			t.Fatalf("not the same again:\n%s\n%s", once, twice)
		}
	})
}

func TestReencode(t *testing.T) {
	got, err := shard.Reencode([]byte(genuine))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"dev.mabuild.shard.platforms": "linux/amd64,linux/arm/v7"`, `"title": "app"`, `"attestation-manifest"`} {
		if !strings.Contains(string(got), want) {
			t.Errorf("%s has no %s", got, want)
		}
	}
}
