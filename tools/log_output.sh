#!/bin/sh
# Run a command and keep all that it says in a file; show what is no "ptxas info".
#   log_output.sh LOG COMMAND...
log=$1
shift
"$@" >"$log" 2>&1
code=$?
grep -v -e '^ptxas info' -e '^ \{4\}[0-9]* bytes stack frame' "$log" >&2
exit $code
