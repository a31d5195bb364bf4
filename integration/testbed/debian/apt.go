package debian

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/mabuild/mabuild/integration/testbed/command"
)

// Apt downloads Debian's packages for any architecture, with a state of its own:
// the machine's package lists, architectures and hooks have no part in it.
type Apt struct{ dir string }

// NewApt prepares a state in dir and reads the package lists of suites for
// architectures. Settings are the machine's lines that say how to fetch.
func NewApt(ctx context.Context, dir string, source Source, settings string, suites, architectures []string) (*Apt, error) {
	if err := command.Need("apt-get", "dpkg-deb"); err != nil {
		return nil, err
	}
	if _, err := os.Stat(keyring); err != nil {
		return nil, fmt.Errorf("finding the keys of Debian's archive: %w: run apt-get install debian-archive-keyring", err)
	}
	for _, sub := range []string{"lists/partial", "archives/partial", "parts"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, fmt.Errorf("preparing a state for apt: %w", err)
		}
	}
	var conf strings.Builder
	conf.WriteString(settings)
	fmt.Fprintf(&conf, "Dir::Etc::Parts %q;\nDir::Etc::Main \"/dev/null\";\n", filepath.Join(dir, "parts"))
	fmt.Fprintf(&conf, "Dir::Etc::SourceList %q;\nDir::Etc::SourceParts \"/dev/null\";\n", filepath.Join(dir, "debian.list"))
	fmt.Fprintf(&conf, "Dir::State::Lists %q;\nDir::State::status \"/dev/null\";\n", filepath.Join(dir, "lists"))
	fmt.Fprintf(&conf, "Dir::Cache %q;\nDir::Cache::archives \"archives\";\n", dir)
	fmt.Fprintf(&conf, "APT::Architecture %q;\nAPT::Architectures { \"%s\"; };\n",
		architectures[0], strings.Join(architectures, `"; "`))
	// The state belongs to whoever runs the tests, so apt's own user can't write there.
	conf.WriteString("APT::Sandbox::User \"root\";\nAcquire::Languages \"none\";\n")
	err := errors.Join(
		os.WriteFile(filepath.Join(dir, "apt.conf"), []byte(conf.String()), 0o644),
		os.WriteFile(filepath.Join(dir, "debian.list"), []byte(source.archives(suites)), 0o644))
	if err != nil {
		return nil, fmt.Errorf("preparing a state for apt: %w", err)
	}
	a := &Apt{dir: dir}
	return a, a.runIn(ctx, dir, "apt-get", "update", "--quiet=2", "-oAPT::Update::Error-Mode=any")
}

// Download fetches packages (name:architecture) and returns their files.
func (a *Apt) Download(ctx context.Context, packages ...string) (map[string]string, error) {
	dir, err := os.MkdirTemp(a.dir, "debs-")
	if err != nil {
		return nil, fmt.Errorf("making a folder for packages: %w", err)
	}
	if err := a.runIn(ctx, dir, append([]string{"apt-get", "download", "--quiet=2"}, packages...)...); err != nil {
		return nil, err
	}
	files := map[string]string{}
	for _, pkg := range packages {
		name, architecture, _ := strings.Cut(pkg, ":")
		found, err := filepath.Glob(filepath.Join(dir, name+"_*_"+architecture+".deb"))
		if err == nil && len(found) == 0 {
			found, err = filepath.Glob(filepath.Join(dir, name+"_*_all.deb"))
		}
		if err != nil || len(found) != 1 {
			return nil, fmt.Errorf("downloading %q: %d files have its name: %w", pkg, len(found), errors.Join(err, os.ErrNotExist))
		}
		files[pkg] = found[0]
	}
	return files, nil
}

// Collect fetches packages for an architecture together with all that they depend on,
// as for a system that has nothing yet, and returns the files.
func (a *Apt) Collect(ctx context.Context, architecture string, packages ...string) ([]string, error) {
	dir, err := os.MkdirTemp(a.dir, "debs-")
	if err != nil {
		return nil, fmt.Errorf("making a folder for packages: %w", err)
	}
	args := []string{
		"apt-get", "install", "--yes", "--quiet=2", "--download-only", "--no-install-recommends",
		"-oAPT::Architecture=" + architecture, "-oDir::Cache::archives=" + dir,
		"-oDebug::NoLocking=1", // or it locks the folder of an empty list of packages, /dev
	}
	if err := a.runIn(ctx, dir, append(args, packages...)...); err != nil {
		return nil, err
	}
	return filepath.Glob(filepath.Join(dir, "*.deb"))
}

func (a *Apt) runIn(ctx context.Context, dir string, args ...string) error {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "APT_CONFIG="+filepath.Join(a.dir, "apt.conf"), "LC_ALL=C.UTF-8")
	return command.Run(ctx, cmd)
}

// Settings returns the machine's settings of how to fetch (proxies, clock
// checks), as lines of an apt.conf. Those with a password in them are left out.
func Settings(ctx context.Context) (string, error) {
	if err := command.Need("apt-config"); err != nil {
		return "", err
	}
	dump, err := exec.CommandContext(ctx, "apt-config", "dump").Output()
	if err != nil {
		return "", fmt.Errorf("asking apt for its settings: %w", err)
	}
	var settings strings.Builder
	for line := range strings.Lines(string(dump)) {
		for _, prefix := range []string{"Acquire::http", "Acquire::Check-", "Acquire::Retries", "Acquire::Force"} {
			if strings.HasPrefix(line, prefix) && !strings.Contains(line, `"";`) && !strings.Contains(line, "@") {
				settings.WriteString(line)
			}
		}
	}
	return settings.String(), nil
}

// Control returns what a package says of itself.
func Control(ctx context.Context, path string) (string, error) {
	text, err := exec.CommandContext(ctx, "dpkg-deb", "--field", path).Output()
	if err != nil {
		return "", fmt.Errorf("reading what %q is: %w", path, err)
	}
	return string(text), nil
}

// ReadDeb calls visit for each file of a package. The content is valid during the call.
func ReadDeb(ctx context.Context, path string, visit func(header *tar.Header, content io.Reader) error) error {
	cmd := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", path)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("unpacking %q: %w", path, err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("unpacking %q: %w", path, err)
	}
	visitErr := visitTar(stdout, visit)
	_, drainErr := io.Copy(io.Discard, stdout) // dpkg-deb must not die of a closed pipe
	if err := errors.Join(visitErr, drainErr, cmd.Wait()); err != nil {
		return fmt.Errorf("unpacking %q: %w%s", path, err, command.Tail(stderr.Bytes()))
	}
	return nil
}

func visitTar(r io.Reader, visit func(*tar.Header, io.Reader) error) error {
	archive := tar.NewReader(r)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := visit(header, archive); err != nil {
			return err
		}
	}
}
