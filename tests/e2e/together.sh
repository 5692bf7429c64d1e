#!/usr/bin/env bash
# Two processes that need the same thing: the second waits for the first and says so.
# Not here: one run taken over after a kill (resume_spec.lua), many writers of results.db (tests/c/test_store.c).
set -u
source "$(dirname "${BASH_SOURCE[0]}")/tap.bash"
mien=${MIEN:?the executable to test}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export MIEN_HOME=$work LUA_PATH="$root/?.lua;;"
mkfifo one two hold
log=$work/log # shown after a failure

cat >first.lua <<'END'
require "tests.e2e.moment"
local tiny, mien = require "tests.lua.tiny", require "mien"
return mien.experiment(tiny.declaration("c.h5", { name = "first", weights = "first.h5", post = false,
  train = { epochs = 3 } }))
END
for name in a b; do
  cat >$name.lua <<END
local tiny, mien = require "tests.lua.tiny", require "mien"
return mien.experiment(tiny.declaration("c.h5", { name = "$name", prerequisites = { "first.lua" }, post = false,
  start = mien.init.from "first.h5", train = { epochs = 1 } }))
END
done
"$mien" -e 'require("tests.lua.tiny").corpus("c.h5", "continuous")' || exit 1

until_line() { # fd, words: reads lines until one has the words
  local line
  while read -r line <&"$1"; do
    echo "$line" >>"$log"
    [[ $line == *"$2"* ]] && return 0
  done
  return 1
}

# The first stays at a beat until a word comes; stopped by a signal it might hold the lock of results.db.
MOMENT='beat 3' DO='print "held" io.flush() io.read()' "$mien" run a.lua <hold >one 2>&1 &
a=$!
exec {word}>hold {from_a}<one
until_line "$from_a" held
"$mien" run b.lua >two 2>&1 {word}>&- &
b=$!
exec {from_b}<two
until_line "$from_b" 'waiting for weights that another process is making'
said=$?
exec {word}>&-
cat <&"$from_a" >>"$log" &
cat <&"$from_b" >>"$log"
wait $b
b_status=$?
wait $a
((said == 0 && b_status == 0 && $? == 0))
check $? "a prerequisite that another process trains is waited for"
[[ $("$mien" sql --csv "select count(*), sum(status = 'finished') from run" | tail -n 1) == 3,3 ]]
check $? "it is trained once"
exec {from_a}<&- {from_b}<&-

# Somebody holds the lock under which a corpus is made, until a word comes; an experiment and the generator want it.
cat >made.lua <<'END'
local tiny, mien = require "tests.lua.tiny", require "mien"
local d = tiny.declaration("made.h5", { name = "made", post = false, train = { epochs = 1 } })
d.data.generate = { kind = "recola", train = 1, devel = 1, test = 1, frames = 16, size = 20 }
return mien.experiment(d)
END
: >"$log"
"$mien" -e 'held = assert(require("mien.base.lock").take "made.h5.lock") print "held" io.flush() io.read()' \
  <hold >one &
exec {word}>hold {from_a}<one
until_line "$from_a" held
"$mien" run made.lua >two 2>&1 {word}>&- &
b=$!
exec {from_b}<two
until_line "$from_b" 'waiting for another process that makes made.h5'
said=$?
"$mien" "$root/datasets/procedural.lua" --kind recola --train 1 --devel 1 --test 1 --frames 16 --size 20 --out made.h5 \
  >one 2>&1 {word}>&- &
c=$!
exec {from_c}<one
until_line "$from_c" 'waiting for another process that makes made.h5'
((said == 0 && $? == 0))
check $? "a corpus that another process is making is waited for, in an experiment and by hand"
exec {word}>&-
cat <&"$from_b" >>"$log"
cat <&"$from_c" >>"$log"
wait $b
b_status=$?
wait $c
((b_status == 0 && $? == 0)) && [[ $(grep -c 'generated the procedural corpus\|: made in' "$log") == 1 ]]
check $? "it is made once"
finish
