#!/bin/sh
# What the client does in the compose stack: profile, extract the images, keep the table, and end
# with fluxperf's exit code. The arguments are fluxperf's.
#
# ./artifacts of the host is mounted at /artifacts and belongs to whoever cloned the tree, an id that
# the image can't know. Started as root, the script therefore becomes the owner of that directory
# before anything else; a directory that Docker itself made (root's) is given to the image's user.
set -eu
out=/artifacts

if [ "$(id -u)" = 0 ]; then
    owner=$(stat -c %u "$out")
    group=$(stat -c %g "$out")
    if [ "$owner" = 0 ]; then
        owner=10001
        group=10001
        chown "$owner:$group" "$out"
    fi
    exec setpriv --reuid "$owner" --regid "$group" --clear-groups --no-new-privs -- "$0" "$@"
fi

cd /
code=0
started=$(mktemp)
fluxperf "$@" >"$out/table.txt" || code=$?
cat "$out/table.txt"
raw=$(find "$out" -maxdepth 2 -name profile_export_raw.jsonl -newer "$started" | head -n 1)
if [ -n "$raw" ]; then
    fluxperf extract-images "$raw" "$out/images" || code=1
fi
exit "$code"
