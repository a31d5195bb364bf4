// Package script reads what a RUN does, as far as its text says.
//
// [Read] takes the arguments of a process and returns the simple commands that it
// may run: of a shell script those in conditions, loops, functions and
// substitutions, too. Nothing is evaluated. What a word gets when it runs stays as
// it is written:
//
//	commands, opaque := script.Read([]string{"/bin/sh", "-c", `GOOS=js go build -o "$OUT"`})
//	commands[0].Words   // go build -o $OUT
//	commands[0].Assigns // GOOS=js
//
// It serves rules that must not miss anything. So there are three answers: a
// command is called, it is not, or it cannot be known ([Command.Scripted], opaque).
package script
