package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// hostile are the orders that no build needs.
func hostile(order string, args []string) error {
	switch order {
	case "refused": // ORDER, which must fail
		if err := do(args[0], args[1:]); err == nil {
			return fmt.Errorf("%q was not refused", args)
		}
		return nil
	case "mkdir": // DIR
		return os.MkdirAll(args[0], 0o755)
	case "link": // FROM TO
		return os.Link(args[0], args[1])
	case "symlink": // TEXT FILE
		return os.Symlink(args[0], args[1])
	case "rename": // FROM TO
		return os.Rename(args[0], args[1])
	case "truncate": // FILE SIZE
		size, err := strconv.ParseInt(args[1], 10, 64)
		return errors.Join(err, os.Truncate(args[0], size))
	case "env": // NAME VALUE
		return os.Setenv(args[0], args[1])
	case "tree": // FROM TO
		return copyTree(args[0], args[1])
	case "pack": // DIR ARCHIVE, of the files, compressed if it ends in gz
		return pack(args[0], args[1])
	case "rebuild": // FROM TO, with BUILD-ID in place of BUILD-ID
		return rebuild(args[0], args[1], args[2], args[3])
	case "chroot": // DIR PROGRAM ARGS
		cmd := exec.Command(args[1], args[2:]...)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: args[0]}
		cmd.Dir = "/"
		return cmd.Run()
	case "forge": // FILE KIND TIMES records
		return forge(args[0], args[1][0], args[2])
	case "pause": // NAME, until SIGTERM
		resumed := make(chan os.Signal, 1)
		signal.Notify(resumed, syscall.SIGTERM)
		fmt.Println("pausing")
		<-resumed
		return nil
	case "until": // FILE is not there, or has SIZE
		return until(args[0], args[1])
	}
	return fmt.Errorf("unknown order %q", order)
}

// copyTree is as cp --archive, but for devices and pipes.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		// A device that is mounted on a file is listed as one.
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		dest := filepath.Join(to, path[len(from):])
		switch info.Mode().Type() {
		case fs.ModeDir:
			return os.MkdirAll(dest, 0o755)
		case fs.ModeSymlink:
			target, err := os.Readlink(path)
			return errors.Join(err, os.Symlink(target, dest))
		case 0:
			return copyFile(path, dest)
		}
		return nil
	})
}

func pack(from, to string) error {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	err := filepath.WalkDir(from, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Lstat(path)
		if err != nil || !info.Mode().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := w.WriteHeader(&tar.Header{Name: path[1:], Size: int64(len(text)), Mode: 0o755}); err != nil {
			return err
		}
		_, err = w.Write(text)
		return err
	})
	if err = errors.Join(err, w.Close()); err != nil {
		return err
	}
	if strings.HasSuffix(to, "gz") {
		plain := slices.Clone(archive.Bytes())
		archive.Reset()
		z := gzip.NewWriter(&archive)
		if _, err := z.Write(plain); err != nil {
			return err
		}
		if err := z.Close(); err != nil {
			return err
		}
	}
	return os.WriteFile(to, archive.Bytes(), 0o644)
}

func rebuild(from, to, old, fresh string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	oldID, err := hex.DecodeString(old)
	if err != nil {
		return err
	}
	freshID, err := hex.DecodeString(fresh)
	if err != nil {
		return err
	}
	oldID, freshID = append([]byte("GNU\x00"), oldID...), append([]byte("GNU\x00"), freshID...)
	if bytes.Count(text, oldID) != 1 {
		return fmt.Errorf("%s has not one build-id %s", from, old)
	}
	return os.WriteFile(to, bytes.Replace(text, oldID, freshID, 1), 0o755)
}

// forge writes records as the stub does, as long as there is room.
func forge(name string, kind byte, times string) error {
	n, err := strconv.Atoi(times)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	record := make([]byte, 128)
	copy(record, "MBX1")
	record[4], record[5] = kind, 20
	copy(record[64:], "/forged")
	for range n {
		if _, err := file.Write(record); err != nil {
			return nil //nolint:nilerr // it is full
		}
	}
	return nil
}

func until(name, size string) error {
	n, err := strconv.ParseInt(size, 10, 64)
	if err != nil {
		return err
	}
	for ; ; time.Sleep(time.Millisecond) {
		info, err := os.Stat(name)
		if err != nil || info.Size() == n {
			return nil //nolint:nilerr // it is gone
		}
	}
}
