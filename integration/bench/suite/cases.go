package suite

import (
	"fmt"
	"os"
	"path/filepath"
)

// Names of the rows about mabuild's own engine.
const (
	engineStart = "engine start"
	engineIdle  = "engine idle rss"
	binarySize  = "binary size"
)

// Case is one situation to measure.
type Case struct {
	Name      string
	Platforms []string
	Files     int   // in the build context, beside the Dockerfile
	Big       int64 // bytes of one more file; 0: there is none
	Change    bool  // one file has new content in each run
	Cold      bool  // BuildKit's cache is empty and the repository is new in each run
	Rounds    int   // that are counted, and no other one before; 0: as many as are asked for
}

// Cases returns all cases in the order in which they are measured.
func Cases() []Case {
	six := []string{"linux/amd64", "linux/arm64", "linux/arm/v7", "linux/386", "linux/ppc64le", "linux/s390x"}
	return []Case{
		{Name: "warm", Platforms: six, Files: 50},
		{Name: "one changed", Platforms: six, Files: 50, Change: true},
		{Name: "cold", Platforms: six[:2], Files: 50, Cold: true},
		{Name: "20k warm", Platforms: six, Files: 20000},
		{Name: "20k one changed", Platforms: six, Files: 20000, Change: true},
	}
}

// dockerfile has the shape of a cross-compiling build without the compiler: a stage
// of the build platform that sees all sources, and for each platform an image with
// what came out. There is no syntax line, which would fetch a frontend.
const dockerfile = `FROM --platform=$BUILDPLATFORM scratch AS files
COPY . /src
FROM scratch
COPY --from=files /src/app /app
`

const (
	stampInContext = "app/stamp"
	appFiles       = 10 // that get into the image, the stamp included
	filesPerFolder = 100
	fileSize       = 1 << 10
)

// WriteContext writes a Dockerfile and a build context of so many files into dir.
// The same number makes the same content.
func WriteContext(dir string, files int) error {
	if files < appFiles {
		return fmt.Errorf("writing a context of %d files: at least %d are needed", files, appFiles)
	}
	if err := os.MkdirAll(filepath.Join(dir, "app"), 0o755); err != nil {
		return fmt.Errorf("writing a context: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(dockerfile), 0o644); err != nil {
		return fmt.Errorf("writing a context: %w", err)
	}
	if err := WriteStamp(dir, "unchanged"); err != nil {
		return err
	}
	for i := 1; i < files; i++ {
		name := filepath.Join(dir, "app", fmt.Sprintf("f%03d", i))
		if i >= appFiles {
			folder := filepath.Join(dir, fmt.Sprintf("src%03d", i/filesPerFolder))
			if err := os.MkdirAll(folder, 0o755); err != nil {
				return fmt.Errorf("writing a context: %w", err)
			}
			name = filepath.Join(folder, fmt.Sprintf("f%05d", i))
		}
		content := make([]byte, 0, fileSize+16)
		for len(content) < fileSize {
			content = fmt.Appendf(content, "%d of %d\n", i, files)
		}
		if err := os.WriteFile(name, content[:fileSize], 0o644); err != nil {
			return fmt.Errorf("writing a context: %w", err)
		}
	}
	return nil
}

// WriteStamp gives the file that changes new content.
func WriteStamp(dir, stamp string) error {
	if err := os.WriteFile(filepath.Join(dir, stampInContext), []byte(stamp), 0o644); err != nil {
		return fmt.Errorf("changing a file of the context: %w", err)
	}
	return nil
}
