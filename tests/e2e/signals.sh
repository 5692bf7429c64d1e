#!/usr/bin/env bash
# Signals to running scripts and trainings, closed and full outputs, and limits on the size of files.
# Not here: Ctrl-C at the prompt (prompt.sh), how long a call may take (tests/c/test_watch.c).
set -u
source "$(dirname "${BASH_SOURCE[0]}")/tap.bash"
mien=${MIEN:?the executable to test}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export MIEN_HOME=$work
mkfifo said silent
log=$work/log # shown after a failure

# Runs Lua code that prints "at work", sends the signals when it is there, and gives the exit status; the kernel ends
# a loop that goes on after 20 seconds of the processor's time.
script() { # "signals", code
  local signal
  (ulimit -t 20 && exec "$mien" -e "$2" >said 2>"$log") &
  read -r <said
  for signal in $1; do kill "-$signal" $!; done
  wait $!
}
AT_WORK="io.write 'at work\n' io.flush() "

script INT "$AT_WORK jit.off() while true do end"
(($? == 130)) && grep -q interrupted "$log"
check $? "SIGINT ends an interpreted loop with 130"
script INT "$AT_WORK local i = 0; while true do i = i + 1 end"
(($? == 130)) && grep -q 'a compiled loop' "$log"
check $? "SIGINT ends a compiled loop that never calls C, with 130, and says what it was"
script TERM "$AT_WORK jit.off() while true do pcall(function() while true do end end) end"
(($? == 143)) && grep -q 'was raised' "$log" && ! grep -q compiled "$log"
check $? "SIGTERM ends a loop that swallows errors with 143, and says what it was"
script HUP "$AT_WORK jit.off() while true do end"
(($? == 129)) && grep -q interrupted "$log"
check $? "SIGHUP ends as the others, with 129"
(trap '' HUP && script 'HUP TERM' "$AT_WORK jit.off() while true do end")
(($? == 143))
check $? "under nohup SIGHUP asks for nothing"

# Calls that take long on the C side: whatever ends them is no compiled loop.
script INT "$AT_WORK require('mien.base.sha256').file 'silent'"
(($? == 130)) && grep -q interrupted "$log" && ! grep -q compiled "$log"
check $? "SIGINT ends a hash that waits for its file"
script INT "local db = require('mien').results.open() $AT_WORK
  db:value 'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n'"
(($? == 130)) && grep -q interrupted "$log" && ! grep -q compiled "$log"
check $? "SIGINT ends a query without end"

# A training that has its first epoch behind it.
cat >train.lua <<'END'
local tiny, mien = require "tests.lua.tiny", require "mien"
if not io.open "c.h5" then tiny.corpus("c.h5", "continuous") end
local d = tiny.declaration("c.h5", { train = { optimiser = { "adam", lr = 1e-3 }, epochs = 100000, loss = "ccc",
  stop = { patience = 100000 } } })
return mien.experiment(d)
END
# Sends a signal after the first epoch; gives the exit status.
training() { # signal
  local line status
  LUA_PATH="$root/?.lua;;" "$mien" run train.lua --db "$1.db" >said 2>"$log" &
  exec {from}<said
  while read -r line <&"$from" && [[ $line != *'epoch 2/'* ]]; do :; done
  kill "-$1" $!
  cat <&"$from" >/dev/null
  exec {from}<&-
  wait $!
  status=$?
  "$mien" sql "select status || ' ' || (select count(*) from attempt where reason = 'interrupted') from run" \
    --db "$1.db" >>"$log"
  return $status
}
for pair in INT:130 TERM:143 HUP:129; do
  rm -rf runs
  training "${pair%:*}"
  (($? == ${pair#*:})) && grep -q 'interrupted 1' "$log" && compgen -G 'runs/*/*/*/last.h5' >/dev/null &&
    ! compgen -G 'runs/*/*/*/*.partial' >/dev/null
  check $? "SIG${pair%:*} in a training ends with ${pair#*:}, its checkpoint written and the run marked"
done

# ---- outputs ----------------------------------------------------------------------------------------

"$mien" -e 'for i = 1, 1e5 do print(i) end' 2>"$log" | head -n 1 >/dev/null
(( PIPESTATUS[0] == 0 )) && [[ ! -s $log ]]
check $? "a reader that went away is neither a crash nor an error"
for command in 'sql --db INT.db' 'help keys' '--version'; do
  # shellcheck disable=SC2086
  "$mien" $command >/dev/full 2>"$log"
  (($? == 1)) && grep -q 'could be written: No space left' "$log"
  check $? "mien $command on a full output ends with 1 and says why"
done
"$mien" -e 'local f = io.open("kept", "w") f:write("what was written") f:flush() print "not this" io.flush()' >&- 2>"$log"
(($? == 0)) && [[ $(<kept) == 'what was written' ]]
check $? "a closed output is no place for the next file"
(ulimit -f 8 && exec "$mien" -e 'require("mien").checkpoint.save_weights("w.h5", require("mien").nn.linear { 100, 200 }, {})') 2>"$log"
(($? == 1)) && grep -qi 'w.h5' "$log" && [[ ! -e w.h5 && ! -e w.h5.partial ]]
check $? "a limit on the size of files is an error of the write, not the end"
finish
