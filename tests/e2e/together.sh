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
local tiny, mien = require "tests.lua.tiny", require "mien"
return mien.experiment(tiny.declaration("c.h5", { name = "first", weights = "first.h5", post = false,
  train = { epochs = 30, stop = { patience = 30 } } }))
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

"$mien" run a.lua >one 2>&1 &
a=$!
exec {from_a}<one
until_line "$from_a" 'epoch 2/'
kill -STOP $a
"$mien" run b.lua >two 2>&1 &
b=$!
exec {from_b}<two
until_line "$from_b" 'is at work on it; waiting'
said=$?
kill -CONT $a
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

# Somebody holds the lock under which a corpus is written, until a word comes.
cat >made.lua <<'END'
local tiny, mien = require "tests.lua.tiny", require "mien"
local d = tiny.declaration("made.h5", { name = "made", post = false, train = { epochs = 1 } })
d.data.generate = { kind = "recola", train = 1, devel = 1, test = 1, frames = 16, size = 16 }
return mien.experiment(d)
END
: >"$log"
flock made.h5.partial cat hold >/dev/null &
exec {word}>hold
"$mien" run made.lua >two 2>&1 {word}>&- &
b=$!
exec {from_b}<two
until_line "$from_b" 'another process is making made.h5; waiting'
said=$?
exec {word}>&-
cat <&"$from_b" >>"$log"
wait $b
((said == 0 && $? == 0)) && grep -q 'generated the procedural corpus' "$log"
check $? "a corpus that another process is making is waited for"
finish
