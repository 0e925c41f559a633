#!/bin/sh
# The build stage of the Dockerfile: compile the programs, install them into OUT and write down
# which packages hold the shared libraries that they need (names differ between distributions).
#   container_build.sh OUT
set -eu
out=$1

cmake -B build -G Ninja -DCMAKE_BUILD_TYPE=Release -DBUILD_TESTING=OFF -DCMAKE_INSTALL_PREFIX="$out"
cmake --build build
cmake --install build --strip

# The package of a file; the same file may be listed with or without /usr in front.
package_of() {
    for path in "$1" "$(readlink -f "$1")" "/usr$1" "${1#/usr}"; do
        if line=$(dpkg-query -S "$path" 2>/dev/null); then
            echo "$line" | sed 's/:.*//'
            return
        fi
    done
    echo "no package holds $1" >&2
    return 1
}

for program in fluxserve fluxperf; do
    libraries=$(ldd "$out/bin/$program" | sed -n 's/.*=> \(\/[^ ]*\).*/\1/p')
    {
        for library in $libraries; do
            package_of "$library"
        done
        echo ca-certificates # for https, which libcurl only recommends
    } >"$out/$program.packages"
    sort -u -o "$out/$program.packages" "$out/$program.packages"
    cat "$out/$program.packages"
done
