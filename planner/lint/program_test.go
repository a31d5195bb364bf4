package lint_test

import (
	"testing"
	"testing/fstest"
)

// tree makes a build context of programs and other files: NAME to an
// architecture, or to the text of the file.
func tree(entries map[string]string) fstest.MapFS {
	files := make(fstest.MapFS)
	for name, content := range entries {
		switch content {
		case "amd64", "arm64", "arm", "386", "bpf", "s390x":
			files[name] = program(content)
		default:
			files[name] = &fstest.MapFile{Data: []byte(content)}
		}
	}
	return files
}

func TestHostBinary(t *testing.T) {
	t.Parallel()
	object := program("amd64")
	object.Data[16] = 1
	one := tree(map[string]string{"app": "amd64", "dist/app": "amd64", "dist/a.txt": "text"})
	const macho, fat, class = "\xcf\xfa\xed\xfe\x07\x00\x00\x01................", "\xca\xfe\xba\xbe\x00\x00\x00\x02................", "\xca\xfe\xba\xbe\x00\x00\x00\x41................"
	runTests(t, map[string]test{
		"file":                    {dockerfile: "FROM base\nCOPY app /", context: one, want: "2 host-binary linux/arm64", message: "app in the build context is a program for amd64", fix: "COPY bin/$TARGETARCH/app"},
		"ADD":                     {dockerfile: "FROM base\nADD app /", context: one, want: "2 host-binary linux/arm64"},
		"link":                    {dockerfile: "FROM base\nCOPY --link app /", context: one, want: "2 host-binary linux/arm64"},
		"excluded":                {dockerfile: "# syntax=docker/dockerfile:1\nFROM base\nCOPY --exclude=app --exclude=dist . /", context: one},
		"pattern":                 {dockerfile: "FROM base\nCOPY a* /", context: one, want: "2 host-binary linux/arm64"},
		"path":                    {dockerfile: "FROM base\nCOPY ./dist/../dist/app /", context: one, want: "2 host-binary linux/arm64"},
		"directory":               {dockerfile: "FROM base\nCOPY dist /x", context: one, want: "2 host-binary linux/arm64", message: "dist/app"},
		"all":                     {dockerfile: "FROM base\nCOPY . /x", context: one, want: "2 host-binary linux/arm64"},
		"two platforms":           {dockerfile: "FROM base\nCOPY app /x", context: one, platforms: "linux/amd64,linux/arm64,linux/s390x", want: "2 host-binary linux/arm64 linux/s390x"},
		"one platform":            {dockerfile: "FROM base\nCOPY app /x", context: one, platforms: "linux/arm64", want: "2 host-binary linux/arm64"},
		"inner line":              {dockerfile: "FROM base\nCOPY --chmod=755 \\\n app \\\n /x", context: one, want: "3 host-binary linux/arm64"},
		"scratch":                 {dockerfile: "FROM scratch\nCOPY app /", context: one, want: "2 host-binary linux/arm64"},
		"big endian":              {dockerfile: "FROM base\nCOPY app /", context: tree(map[string]string{"app": "s390x"}), want: "2 host-binary linux/amd64 linux/arm64"},
		"macOS":                   {dockerfile: "FROM base\nCOPY app /", context: tree(map[string]string{"app": macho}), want: "2 host-binary linux/amd64 linux/arm64", message: "macOS"},
		"macOS, two platforms":    {dockerfile: "FROM base\nCOPY app /", context: tree(map[string]string{"app": fat}), want: "2 host-binary linux/amd64 linux/arm64"},
		"argument with a mistake": {dockerfile: "FROM base\nARG TARGETARCH\nCOPY bin/$TARGETARCH/app /", context: tree(map[string]string{"bin/amd64/app": "amd64", "bin/arm64/app": "amd64"}), want: "3 host-binary linux/arm64", message: "bin/arm64/app"},
		"argument":                {dockerfile: "FROM base\nARG TARGETARCH\nCOPY bin/$TARGETARCH/app /", context: files()},
		"its platform":            {dockerfile: "FROM base\nCOPY app /", context: one, platforms: "linux/amd64"},
		"no context":              {dockerfile: "FROM base\nCOPY app /"},
		"missing":                 {dockerfile: "FROM base\nCOPY nothing [a-]* /", context: one},
		"ignored":                 {dockerfile: "FROM base\nCOPY . /", context: tree(map[string]string{"bin/app": "amd64", ".dockerignore": "bin\n"})},
		"ignored with exceptions": {dockerfile: "FROM base\nCOPY . /", context: tree(map[string]string{"bin/app": "amd64", "bin/b": "amd64", ".dockerignore": "bin\n!bin/b\n"}), want: "2 host-binary linux/arm64", message: "bin/b"},
		"several to choose from":  {dockerfile: "FROM base\nCOPY bin /x", context: files()},
		"several instructions":    {dockerfile: "FROM base\nCOPY bin/amd64/server /a\nCOPY bin/arm64/server /b\nRUN ./choose", context: files()},
		"another stage's":         {dockerfile: "FROM base AS a\nRUN make\nFROM base\nCOPY --from=a app /", context: one},
		"pinned stage":            {dockerfile: "FROM --platform=$BUILDPLATFORM base AS a\nCOPY app /\nFROM base\nCOPY --from=a /x /", context: one},
		"tree of a build stage":   {dockerfile: "FROM base AS a\nCOPY . .\nRUN make\nFROM base\nCOPY --from=a /x /", context: one},
		"file of a build stage":   {dockerfile: "FROM base AS a\nCOPY app .\nRUN make\nFROM base\nCOPY --from=a /x /", context: one, want: "2 host-binary linux/arm64"},
		"stage for one platform":  {dockerfile: "FROM base AS base-amd64\nCOPY bin/amd64/server /\nFROM base AS base-arm64\nCOPY bin/arm64/server /\nFROM base-$TARGETARCH", context: files()},
		"32 bits":                 {dockerfile: "FROM base\nCOPY app /", context: tree(map[string]string{"app": "386"}), platforms: "linux/amd64,linux/386"},
		"BPF":                     {dockerfile: "FROM base\nCOPY prog /", context: tree(map[string]string{"prog": "bpf"})},
		"object":                  {dockerfile: "FROM base\nCOPY prog /", context: fstest.MapFS{"prog": object}},
		"class of Java":           {dockerfile: "FROM base\nCOPY Main /", context: tree(map[string]string{"Main": class})},
		"data of tests":           {dockerfile: "FROM base\nCOPY . /", context: tree(map[string]string{"pkg/testdata/elf/x": "amd64", "tests/x": "s390x", "firmware/x": "arm", "a.syso": "amd64", "lib.elf": "arm"})},
		"emulator":                {dockerfile: "FROM base\nCOPY qemu-aarch64-static /usr/bin/", context: tree(map[string]string{"qemu-aarch64-static": "amd64"})},
		"macOS in a tree":         {dockerfile: "FROM base\nCOPY . /", context: tree(map[string]string{"node_modules/fsevents/x.node": macho})},
		"macOS by name":           {dockerfile: "FROM base\nCOPY app-darwin /", context: tree(map[string]string{"app-darwin": macho})},
		"Windows and .NET":        {dockerfile: "FROM base\nCOPY app.dll x.exe y /", context: tree(map[string]string{"app.dll": "MZ..................", "x.exe": "MZ..................", "y": "MZ.................."})},
		"short file":              {dockerfile: "FROM base\nCOPY x /", context: tree(map[string]string{"x": "\x7fELF"})},
		"symbolic link":           {dockerfile: "FROM base\nCOPY x /", context: fstest.MapFS{"x": &fstest.MapFile{Data: []byte("y"), Mode: 0o777 | 1<<27}}},
		"heredoc":                 {dockerfile: "FROM base\nCOPY <<app /x\ntext\napp", context: one},
		"Windows":                 {dockerfile: "FROM base\nCOPY app /", context: one, platforms: "windows/amd64"},
	})
}

func TestGoarmVariant(t *testing.T) {
	t.Parallel()
	const arm, pinned, end = "linux/amd64,linux/arm/v6,linux/arm/v7", "FROM --platform=$BUILDPLATFORM base AS a\n", "\nFROM scratch\nCOPY --from=a /x /"
	runTests(t, map[string]test{
		"letter":                     {dockerfile: pinned + "ARG TARGETARCH TARGETVARIANT\nRUN GOARCH=$TARGETARCH GOARM=$TARGETVARIANT go build" + end, platforms: arm, want: "3 goarm-variant linux/arm/v6 linux/arm/v7", fix: "GOARM=${TARGETVARIANT#v}"},
		"exported":                   {dockerfile: pinned + "ARG TARGETARCH TARGETVARIANT\nRUN export GOARCH=$TARGETARCH \\\n GOARM=\"${TARGETVARIANT}\" \\\n && go build" + end, platforms: arm, want: "4 goarm-variant linux/arm/v6 linux/arm/v7"},
		"env":                        {dockerfile: pinned + "ARG TARGETARCH TARGETVARIANT\nRUN env GOARCH=$TARGETARCH GOARM=$TARGETVARIANT go build" + end, platforms: arm, want: "3 goarm-variant linux/arm/v6 linux/arm/v7"},
		"ENV":                        {dockerfile: pinned + "ARG TARGETARCH TARGETVARIANT\nENV GOARCH=$TARGETARCH GOARM=$TARGETVARIANT\nRUN go build\nRUN go build ./b" + end, platforms: arm, want: "3 goarm-variant linux/arm/v6 linux/arm/v7"},
		"ENV of the parent":          {dockerfile: pinned + "ARG TARGETARCH TARGETVARIANT\nENV GOARCH=$TARGETARCH GOARM=$TARGETVARIANT\nFROM a AS b\nRUN go build\nFROM scratch\nCOPY --from=b /x /", platforms: arm, want: "3 goarm-variant linux/arm/v6 linux/arm/v7"},
		"missing":                    {dockerfile: pinned + "ARG TARGETARCH\nRUN GOARCH=$TARGETARCH go build" + end, platforms: arm, want: "3 goarm-variant linux/arm/v6", message: "arm/v7 unless GOARM"},
		"missing below ENV":          {dockerfile: pinned + "ARG TARGETARCH\nENV GOARCH=$TARGETARCH\nRUN go build" + end, platforms: arm, want: "4 goarm-variant linux/arm/v6"},
		"without the letter":         {dockerfile: pinned + "ARG TARGETARCH TARGETVARIANT\nRUN GOARCH=$TARGETARCH GOARM=${TARGETVARIANT#v} go build" + end, platforms: arm},
		"cut":                        {dockerfile: pinned + "ARG TARGETARCH TARGETVARIANT\nRUN GOARCH=$TARGETARCH GOARM=$(echo $TARGETVARIANT | cut -c2-) go build" + end, platforms: arm},
		"substring":                  {dockerfile: pinned + "ARG TARGETARCH TARGETVARIANT\nRUN GOARCH=$TARGETARCH GOARM=${TARGETVARIANT:1} go build" + end, platforms: arm},
		"variable of the script":     {dockerfile: pinned + "ARG TARGETARCH TARGETVARIANT\nRUN v=${TARGETVARIANT#v}; GOARCH=$TARGETARCH GOARM=$v go build" + end, platforms: arm},
		"case":                       {dockerfile: pinned + "ARG TARGETPLATFORM TARGETARCH\nRUN case $TARGETPLATFORM in linux/arm/v6) export GOARM=6;; esac; GOARCH=$TARGETARCH go build" + end, platforms: arm},
		"native":                     {dockerfile: "FROM base\nARG TARGETARCH\nRUN GOARCH=$TARGETARCH go build", platforms: arm},
		"no 32-bit ARM":              {dockerfile: pinned + "ARG TARGETARCH TARGETVARIANT\nRUN GOARCH=$TARGETARCH GOARM=$TARGETVARIANT go build" + end},
		"missing, without v6":        {dockerfile: pinned + "ARG TARGETARCH\nRUN GOARCH=$TARGETARCH go build" + end, platforms: "linux/amd64,linux/arm/v7"},
		"a tool for the build":       {dockerfile: pinned + "ARG TARGETARCH\nRUN go build ./tool && ./tool $TARGETARCH" + end, platforms: arm},
		"make":                       {dockerfile: pinned + "ARG TARGETARCH\nRUN GOARCH=$TARGETARCH make" + end, platforms: arm},
		"script that reads settings": {dockerfile: pinned + "ARG TARGETARCH\nRUN . ./env; GOARCH=$TARGETARCH go build" + end, platforms: arm},
	})
}

func TestConstTarget(t *testing.T) {
	t.Parallel()
	const pinned, end = "FROM --platform=$BUILDPLATFORM base AS a\n", "\nFROM scratch\nCOPY --from=a /x /"
	runTests(t, map[string]test{
		"Go":                       {dockerfile: "FROM base\nRUN GOOS=linux GOARCH=amd64 go build", want: "2 const-target linux/arm64", message: "GOARCH=amd64 is for amd64", fix: "GOARCH=$TARGETARCH"},
		"Go, exported":             {dockerfile: "FROM base\nRUN export GOARCH=amd64; go build", want: "2 const-target linux/arm64"},
		"Go, env":                  {dockerfile: "FROM base\nRUN env GOARCH=amd64 go build", want: "2 const-target linux/arm64"},
		"Go, ENV":                  {dockerfile: "FROM base\nENV GOOS=linux \\\n GOARCH=amd64\nRUN go build", want: "3 const-target linux/arm64"},
		"Go, on the build machine": {dockerfile: pinned + "RUN CGO_ENABLED=0 GOARCH=amd64 go build" + end, want: "2 const-target linux/arm64"},
		"Go, by a stage":           {dockerfile: pinned + "RUN GOARCH=amd64 go build\nFROM a AS b\nRUN true\nFROM scratch\nCOPY --from=b /x /", want: "2 const-target linux/arm64"},
		"Cargo":                    {dockerfile: "FROM base\nRUN cargo build --release --target x86_64-unknown-linux-musl", want: "2 const-target linux/arm64"},
		"clang":                    {dockerfile: "FROM base\nRUN clang --target=aarch64-linux-gnu -c a.c", want: "2 const-target linux/amd64"},
		"configure":                {dockerfile: "FROM base\nRUN ./configure --host=x86_64-linux-gnu && make", want: "2 const-target linux/arm64"},
		".NET":                     {dockerfile: "FROM base\nRUN dotnet publish -c Release -r linux-x64", want: "2 const-target linux/arm64"},
		".NET, musl":               {dockerfile: pinned + "RUN dotnet publish --runtime=linux-musl-x64" + end, want: "2 const-target linux/arm64"},
		"npm":                      {dockerfile: "FROM base\nRUN npm_config_arch=x64 npm ci", want: "2 const-target linux/arm64"},
		"processor":                {dockerfile: "FROM base\nRUN gcc -O2 -march=haswell a.c", want: "2 const-target linux/arm64"},
		"processor of the builder": {dockerfile: "FROM base\nRUN CFLAGS=\"-O2 -march=native\" make", want: "2 const-target linux/amd64 linux/arm64", message: "processor of the builder"},
		"matrix":                   {dockerfile: "FROM base\nRUN GOARCH=amd64 go build -o a && GOARCH=arm64 go build -o b"},
		"loop":                     {dockerfile: "FROM base\nRUN for a in amd64 arm64; do GOARCH=$a go build -o $a; done"},
		"matrix in the stage":      {dockerfile: "FROM base\nRUN GOARCH=amd64 go build -o a\nRUN GOARCH=arm64 go build -o b"},
		"matrix in ENV":            {dockerfile: "FROM base\nENV RIDS=linux-x64,linux-arm64\nRUN dotnet publish -r linux-x64"},
		"other system":             {dockerfile: "FROM base\nRUN GOOS=windows GOARCH=amd64 go build"},
		"other system in ENV":      {dockerfile: "FROM base\nENV GOOS=darwin GOARCH=arm64\nRUN go build"},
		"release":                  {dockerfile: "FROM base\nRUN GOOS=linux GOARCH=amd64 go build -o a\nRUN GOOS=windows GOARCH=amd64 go build -o a.exe"},
		"other system, .NET":       {dockerfile: "FROM base\nRUN dotnet publish -r win-x64"},
		"WebAssembly":              {dockerfile: "FROM base\nRUN GOOS=js GOARCH=wasm go build && cargo build --target wasm32-unknown-unknown && clang -target bpf -c a.c"},
		"argument":                 {dockerfile: "FROM base\nARG TARGETARCH\nRUN GOARCH=$TARGETARCH go build"},
		"asked":                    {dockerfile: "FROM base\nRUN [ $(uname -m) != x86_64 ] || gcc -march=haswell a.c"},
		"case":                     {dockerfile: "FROM base\nARG TARGETARCH\nRUN case $TARGETARCH in amd64) cargo build --target x86_64-unknown-linux-musl;; esac"},
		"build tool":               {dockerfile: pinned + "RUN GOARCH=amd64 go build -o /tool\nFROM --platform=$BUILDPLATFORM base AS b\nCOPY --from=a /tool /tool\nRUN /tool\nFROM scratch\nCOPY --from=b /x /"},
		"tool beside the program":  {dockerfile: pinned + "RUN GOARCH=amd64 go build -o /tool\nARG TARGETARCH\nRUN GOARCH=$TARGETARCH go build -o /x" + end},
		"one platform":             {dockerfile: "FROM base\nRUN GOARCH=amd64 go build", platforms: "linux/amd64"},
		"32 bits":                  {dockerfile: "FROM base\nRUN GOARCH=386 go build", platforms: "linux/amd64,linux/386"},
		"stages by platform":       {dockerfile: "FROM base AS base-amd64\nRUN gcc -march=haswell a.c\nFROM base AS base-arm64\nRUN gcc -march=armv8.2-a a.c\nFROM base-$TARGETARCH"},
		"printed":                  {dockerfile: "FROM base\nRUN echo -march=haswell >/flags"},
		"target that is a stage":   {dockerfile: "FROM base\nRUN cargo build --target-dir /x --target \"$T\" && docker build --target x86_64-linux ."},
	})
}

func TestChecksumSingle(t *testing.T) {
	t.Parallel()
	const one, two = "1111111111111111111111111111111111111111111111111111111111111111", "2222222222222222222222222222222222222222222222222222222222222222"
	const arch = "FROM base\nARG TARGETARCH\n"
	runTests(t, map[string]test{
		"ADD":                      {dockerfile: arch + "ADD --checksum=sha256:" + one + " https://example.com/a-$TARGETARCH /", want: "3 checksum-single linux/amd64 linux/arm64", message: "one checksum is expected"},
		"ADD, by argument":         {dockerfile: arch + "ARG SUM=sha256:" + one + "\nADD --checksum=$SUM https://example.com/a-$TARGETARCH /", want: "4 checksum-single linux/amd64 linux/arm64"},
		"ADD, same file":           {dockerfile: arch + "ADD --checksum=sha256:" + one + " https://example.com/a /"},
		"ADD, stages by platform":  {dockerfile: "FROM base AS b-amd64\nADD --checksum=sha256:" + one + " https://example.com/a-amd64 /\nFROM base AS b-arm64\nADD --checksum=sha256:" + two + " https://example.com/a-arm64 /\nFROM b-$TARGETARCH"},
		"ADD, one platform":        {dockerfile: arch + "ADD --checksum=sha256:" + one + " https://example.com/a-$TARGETARCH /", platforms: "linux/arm64"},
		"RUN":                      {dockerfile: arch + "RUN curl -o x https://example.com/a-$TARGETARCH \\\n && echo '" + one + "  x' | sha256sum -c", want: "4 checksum-single linux/amd64 linux/arm64", fix: `case "$TARGETARCH" in`},
		"RUN, argument":            {dockerfile: arch + "ARG SUM=" + one + "\nRUN curl -o x https://example.com/a-$TARGETARCH && echo \"$SUM  x\" | sha256sum -c", want: "4 checksum-single linux/amd64 linux/arm64"},
		"RUN, address in variable": {dockerfile: arch + "RUN u=https://example.com/a-$TARGETARCH; wget $u; echo '" + one + "  x' | sha256sum -c", want: "3 checksum-single linux/amd64 linux/arm64"},
		"RUN, machine":             {dockerfile: "FROM base\nRUN curl -O https://example.com/a-$(uname -m) && echo '" + one + "  x' | sha256sum -c", want: "2 checksum-single linux/amd64 linux/arm64"},
		"RUN, pinned": {
			dockerfile: "FROM --platform=$BUILDPLATFORM base AS a\nARG TARGETARCH\nRUN curl -O https://example.com/a-$TARGETARCH && echo '" + one + "  x' | sha256sum -c\nFROM base\nCOPY --from=a /x /",
			want:       "3 checksum-single linux/amd64 linux/arm64",
		},
		"machine of a pinned stage": {dockerfile: "FROM --platform=$BUILDPLATFORM base AS a\nRUN curl -O https://example.com/a-$(uname -m) && echo '" + one + "  x' | sha256sum -c\nFROM base\nCOPY --from=a /x /"},
		"checksum by platform":      {dockerfile: arch + "RUN case $TARGETARCH in amd64) s=" + one + ";; arm64) s=" + two + ";; esac; curl -o x https://example.com/a-$TARGETARCH && echo \"$s  x\" | sha256sum -c"},
		"checksum from the server":  {dockerfile: arch + "RUN curl -O https://example.com/a-$TARGETARCH -O https://example.com/a-$TARGETARCH.sha256 && sha256sum -c a.sha256"},
		"checksum of another file":  {dockerfile: arch + "RUN curl -o x https://example.com/noarch.tgz && echo '" + one + "  x' | sha256sum -c && curl -o y https://example.com/a-$TARGETARCH"},
		"address of the file":       {dockerfile: arch + "RUN curl -o x https://example.com/v1/x && echo '" + one + "  x' | sha256sum -c && echo $TARGETARCH"},
		"same value everywhere":     {dockerfile: "FROM base\nARG TARGETOS\nRUN curl -o x https://example.com/a-$TARGETOS && echo '" + one + "  x' | sha256sum -c"},
		"branches":                  {dockerfile: arch + "RUN if [ $TARGETARCH = amd64 ]; then u=https://example.com/a; s=" + one + "; else u=https://example.com/b; s=" + two + "; fi; curl -o x $u; echo $s x | sha256sum -c"},
	})
}
