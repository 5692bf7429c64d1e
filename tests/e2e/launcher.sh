#!/usr/bin/env bash
# The launcher as a stranger uses it: spaces in the path, any folder, links, changed sources, a broken build,
# two starts at once, missing packages without rights. It starts a program of three lines instead of the
# workbench, so that a build takes a second. Not here: installing packages, which needs root and a network.
set -u
source "$(dirname "${BASH_SOURCE[0]}")/tap.bash"
launcher=$(cd "$(dirname "$0")/../.." && pwd)/mien
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
copy="$work/a folder with spaces/mien"
mkdir -p "$copy/core" "$copy/cmake"
cp "$launcher" "$copy/mien"
cp "${launcher%/*}/cmake/configure.sh" "$copy/cmake"
echo 'build gcc' >"$copy/cmake/packages.txt"
cat >"$copy/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.22)
project(small C)
add_executable(mien core/main.c)
add_custom_target(workbench DEPENDS mien)
END
cat >"$copy/CMakePresets.json" <<'END'
{ "version": 4, "configurePresets": [
    { "name": "release", "binaryDir": "${sourceDir}/build", "generator": "Ninja" } ] }
END
cat >"$copy/core/main.c" <<'END'
#include <stdio.h>
int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) printf("<%s>", argv[i]);
    puts(WORD);
}
END
sed -i 's/WORD/"one"/' "$copy/core/main.c"

age() { # what is changed next is a minute newer than all there is
  find "$copy" -exec touch -d '1 minute ago' {} +
}

cd /
[[ $("$copy/mien" 2>/dev/null) == one ]]
check $? "builds and starts from another folder, with spaces in the path"
[[ $("$copy/mien" 'a b' '' '*' 2>&1) == "<a b><><*>one" ]]
check $? "hands arguments on as they are, and is silent when nothing is to be built"

ln -s "$copy/mien" "$work/link"
[[ $("$work/link" 2>&1) == one ]] && [[ $(cd "$copy" && PATH=".:$PATH" mien 2>&1) == one ]]
check $? "starts through a link and through PATH"

age
sed -i 's/one/two/' "$copy/core/main.c"
[[ $("$copy/mien" 2>/dev/null) == two ]]
check $? "builds again after a source changed"

age
sed -i 's/two/three/' "$copy/core/main.c"
"$copy/mien" >"$work/first" 2>/dev/null &
"$copy/mien" >"$work/second" 2>/dev/null
wait
[[ $(cat "$work/first" "$work/second") == $'three\nthree' ]]
check $? "two starts at once after a change both run the new program"

mv "$work/a folder with spaces" "$work/moved"
copy="$work/moved/mien"
age
sed -i 's/three/four/' "$copy/core/main.c"
[[ $("$copy/mien" 2>/dev/null) == four ]]
check $? "a folder that was moved builds again"

cp -a "$work/moved" "$work/copied"
(cd "$work/copied/mien" && bash cmake/configure.sh build release && cmake --build build) >/dev/null 2>&1 &&
  grep -q "^CMAKE_HOME_DIRECTORY:INTERNAL=$work/copied/mien" "$work/copied/mien/build/CMakeCache.txt"
check $? "a build that was copied is configured anew, for tests as well"

age
echo 'this is no C' >>"$copy/core/main.c"
output=$("$copy/mien" 2>&1)
status=$?
((status != 0)) && [[ $output == *"error:"* && $output == *"the build failed"* && $output != *four* ]]
check $? "a source that does not compile shows the compiler's message and does not start the old program"

# Without apt-get and sudo in PATH nothing can be installed.
mkdir "$work/bin"
for tool in bash env dpkg-query mkdir flock grep tail touch sed find; do
  ln -s "$(command -v $tool)" "$work/bin/$tool"
done
age
echo 'build no-such-package-1' >>"$copy/cmake/packages.txt"
output=$(PATH="$work/bin" "$copy/mien" 2>&1)
status=$?
((status != 0)) && [[ $output == *"apt-get install -y --no-install-recommends no-such-package-1"* ]]
check $? "says which packages to install when it cannot install them"
finish
