#!/usr/bin/env bash
# The prompt on a terminal: editing, completion, history, Ctrl-C.
# Not here: what an input evaluates to (tests/lua/repl_spec.lua), signals to running scripts (signals.sh).
set -u
source "$(dirname "${BASH_SOURCE[0]}")/tap.bash"
mien=${MIEN:?the executable to test}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export XDG_STATE_HOME="$work/state" TERM=xterm LC_ALL=C.UTF-8
cd "$work" || exit 1
mkfifo keys said
log=$work/log # shown after a failure
PATIENCE=300 # seconds without a character after which nothing more is expected

more() { # until this text comes, or to the end; adds to $output
  local byte seen=''
  until [[ $# == 1 && $seen == *"$1"* ]]; do
    IFS= read -r -N 1 -t "$PATIENCE" -u "$screen" byte || return 1
    [[ $byte == $'\r' ]] || seen+=$byte output+=$byte
  done
}

# A session on a pseudo-terminal, from pairs: what the screen must say, then the keys that are typed. The screen's
# text is in $output. Text that ends in a blank is a prompt: it stands a moment before the keys are the editor's
# and no longer the kernel's, so Ctrl-L asks for it once more.
session() {
  output=''
  exec {screen}< <(exec script -qec "'$mien'" /dev/null <keys 2>&1) {typed}>keys
  local terminal=$!
  while (($#)) && more "$1"; do
    [[ $1 != *' ' ]] || { printf '\014' >&"$typed" && more "$1"; } || break
    printf '%b' "$2" >&"$typed"
    shift 2
  done
  (($# == 0)) && more
  kill "$terminal" 2>/dev/null # it is gone, unless the screen never said what was waited for
  exec {screen}<&- {typed}>&-
  echo "$output" >"$log"
}

session 'mien> ' 'x = 20 + 1\n' 'mien> ' 'x * 2\n' 'mien> ' 'for i = 1, 2 do\n' '  ... ' 'print(i, "line")\n' \
  '  ... ' 'end\n' 'mien> ' '\004'
[[ $output == *42* && $output == *$'2\tline'* ]]
check $? "evaluates inputs of one and of several lines"

session 'mien> ' 'a_long_name = 77\n' 'mien> ' 'a_lo\t + 1\n' 78 '' 'mien> ' '\004'
[[ $output == *78* ]]
check $? "Tab completes a name of the session"

session 'mien> ' '\033[A\033[A\n' 77 '' 'mien> ' '\004'
[[ $output == *77* ]]
check $? "history comes back in the next session"

session 'mien> ' 'x = 5 + \003' '^C' '' 'mien> ' 'x\n' 'mien> ' '\004'
[[ $output == *'^C'* && $output != *error* ]]
check $? "Ctrl-C at the prompt drops the line"

session 'mien> ' 'kept = "still " .. "here"\n' 'mien> ' 'n = 0 print("at" .. " work") io.flush() while true do n = n + 1 end\n' \
  'at work' '\003' 'mien> ' 'function f() local n = 0 while true do n = n + 1 end end\n' \
  'mien> ' 'print("at" .. " it") io.flush() f()\n' 'at it' '\003' 'mien> ' 'kept\n' '"still here"' '' 'mien> ' '\004'
[[ $output == *interrupted* && $output == *'"still here"'* ]]
check $? "Ctrl-C stops a running loop and comes back to the prompt, where names keep their values"

finish
