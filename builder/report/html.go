package report

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"os"
)

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

//go:embed page.js
var pageJS string

// Options of a page.
type Options struct {
	// MaxLog is how many bytes of output the page may carry. The output of failed
	// steps comes first, and then that of what took longest. Default: 96 KiB.
	MaxLog int
	// Slowest is the length of the list of steps that took longest. Default: 10.
	Slowest int
}

// HTML writes the page of a build.
func HTML(w io.Writer, b *Build, opts Options) error {
	if opts.MaxLog <= 0 {
		opts.MaxLog = 96 << 10
	}
	if opts.Slowest <= 0 {
		opts.Slowest = 10
	}
	text, err := template.New("page").Parse(pageHTML)
	if err != nil {
		return fmt.Errorf("reading the template of the page: %w", err)
	}
	// Marshal writes <, > and & as escapes, so that no text can end the block.
	body, err := json.Marshal(newDrawing(b, opts))
	if err != nil {
		return fmt.Errorf("writing the data of the page: %w", err)
	}
	p := newPage(b, opts)
	p.Policy = "default-src 'none'; script-src " + source(pageJS) + "; style-src " + source(pageCSS) + "; base-uri 'none'; form-action 'none'"
	p.Style = template.CSS(pageCSS) //nolint:gosec // the package's own file
	p.Script = template.JS(pageJS)  //nolint:gosec // the package's own file
	p.Data = template.JS(body)      //nolint:gosec // JSON without <, see above
	if err := text.Execute(w, p); err != nil {
		return fmt.Errorf("writing the page: %w", err)
	}
	return nil
}

// source allows one text in a Content-Security-Policy.
func source(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// WriteFile writes the page of a build to a file, whole or not at all.
func WriteFile(path string, b *Build, opts Options) error {
	var page bytes.Buffer
	if err := HTML(&page, b, opts); err != nil {
		return err
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		// What is no file, such as /dev/stdout, cannot be replaced by one.
		if err := os.WriteFile(path, page.Bytes(), 0o644); err != nil {
			return fmt.Errorf("writing the report: %w", err)
		}
		return nil
	}
	if err := replace(path, page.Bytes(), 0o644); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}
