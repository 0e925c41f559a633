#!/bin/sh
# Print the packages of one group of packages.txt, one a line.
#   container_packages.sh GROUP
set -eu
sed -n "/^\[$1\]\$/,/^\[/{/^[a-z]/p}" "$(dirname "$0")/packages.txt"
