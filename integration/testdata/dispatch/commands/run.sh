#!/bin/sh
# Runs every line of a file by itself, in a directory of the file's, and writes down what
# it says, its errors and its exit code. No line may tell a clock, a process id or a
# random number.
set -u
export LC_ALL=C TZ=UTC0
umask 022
mkdir "$1"
cd "$1"
while IFS= read -r line; do
	case $line in '' | '#'*) continue ;; esac
	printf '\n$ %s\n' "$line"
	printf '\n$ %s\n' "$line" >&2
	(eval "$line") < /dev/null
	echo "= $?"
done < "../$1.txt" > "../$1.out" 2> "../$1.err"
