package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/term"

	"github.com/mabuild/mabuild/builder/ci"
	"github.com/mabuild/mabuild/builder/progress"
	"github.com/mabuild/mabuild/planner"
)

// ciLog is a log of a CI system. All that the process writes to standard error goes
// through it, so that no line of a step, a file or a registry is a command to the runner.
type ciLog struct {
	*ci.Log
	stderr *os.File // the real one
	pipe   *os.File
	copied chan error
	// annotates is whether an annotation is more than a line of the log.
	annotates bool
}

// openLog begins the log if a CI system runs this. It only changes how things look.
func (o *buildOptions) openLog() (*ciLog, error) {
	system, err := o.ci, error(nil)
	if system == "" {
		system, err = ci.Detect(os.LookupEnv)
	}
	if err != nil {
		return nil, &usageError{err}
	}
	if system == ci.Plain || o.ci == "" && (o.progress != progress.Auto || term.IsTerminal(int(os.Stderr.Fd()))) {
		return nil, nil //nolint:nilnil // nil is none
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	l := &ciLog{
		Log:    ci.NewLog(os.Stderr, ci.LogOptions{System: system, Secrets: o.secretTexts(), Direct: len(o.platforms) == 1}),
		stderr: os.Stderr, pipe: writer, copied: make(chan error, 1), annotates: system.Annotates(),
	}
	os.Stderr = writer
	go func() {
		_, err := reader.WriteTo(l.Log)
		l.copied <- errors.Join(err, reader.Close())
	}()
	o.log, o.annotates = l.Log, l.annotates
	return l, nil
}

// logged runs something in the log of a CI system, or without one where there is none.
func (o *buildOptions) logged(run func() error) error {
	log, err := o.openLog()
	if err != nil {
		return err
	}
	if log == nil {
		return run()
	}
	err = run()
	var told []ci.Annotation
	if o.reporting != nil && o.reporting.done != nil {
		told = ci.Annotations(o.reporting.done, cmp.Or(o.annotated, o.dockerfile))
	}
	isError := func(a ci.Annotation) bool { return a.Level == ci.Error }
	complains := err != nil && log.annotates && !slices.ContainsFunc(told, isError)
	if complains {
		told = append(told, complaint(err))
	}
	log.Annotate(told)
	if o.results != nil {
		outputs, outputsErr := o.results.Outputs()
		log.Describe(outputs)
		err = errors.Join(err, outputsErr)
	}
	return log.close(err, complains)
}

// complaint is the annotation for what failed before there was a build, or after it.
func complaint(err error) ci.Annotation {
	a := ci.Annotation{Level: ci.Error, Title: "mabuild", Message: strings.TrimPrefix(describe(err), "mabuild: ")}
	var line *planner.Error
	if errors.As(err, &line) {
		a.File, a.Line = line.File, line.Line
	}
	return a
}

// close ends the log with an error, which is the last to be read, unless an annotation has
// said it in the same words.
func (l *ciLog) close(err error, said bool) error {
	os.Stderr = l.stderr
	closeErr := errors.Join(l.pipe.Close(), <-l.copied)
	if err != nil && !said {
		fmt.Fprintln(l.Platform("mabuild"), describe(err))
		l.Fail("mabuild", "")
	}
	if closeErr = errors.Join(closeErr, l.Close()); err == nil {
		return closeErr
	}
	return &toldError{err}
}

// toldError is one that has been shown.
type toldError struct{ error }

func (e *toldError) Unwrap() error { return e.error }
