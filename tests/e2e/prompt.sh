#!/usr/bin/env bash
# The prompt on a terminal: editing, completion, history, Ctrl-C, and signals to running scripts.
# Not here: what an input evaluates to (tests/lua/repl_spec.lua).
set -u
source "$(dirname "${BASH_SOURCE[0]}")/tap.bash"
mien=${MIEN:?the executable to test}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export XDG_STATE_HOME="$work/state" TERM=xterm LC_ALL=C.UTF-8
cd "$work" || exit 1
START=0.5 # seconds until the prompt stands
[[ $mien == *build-asan* ]] && START=2

# Types its arguments on a pseudo-terminal, a moment after each other, and shows the screen's text.
session() {
  (
    sleep "$START"
    for keys in "$@"; do
      printf '%b' "$keys"
      sleep 0.35
    done
  ) | script -qec "'$mien'" /dev/null 2>&1 | tr -d '\r'
}

output=$(session 'x = 20 + 1\n' 'x * 2\n' 'for i = 1, 2 do\n' 'print(i, "line")\n' 'end\n' '\004')
[[ $output == *42* && $output == *'  ... '* && $output == *$'2\tline'* ]]
check $? "evaluates inputs of one and of several lines"

output=$(session 'a_long_name = 77\n' 'a_lo\t + 1\n' '\004')
[[ $output == *78* ]]
check $? "Tab completes a name of the session"

output=$(session '\033[A\033[A\n' '\004')
[[ $output == *77* || $output == *78* ]]
check $? "history comes back in the next session"

output=$(session 'x = 5 + \003' 'x\n' '\004')
[[ $output == *'^C'* && $output != *error* ]]
check $? "Ctrl-C at the prompt drops the line"

output=$(session 'jit.off()\n' 'while true do end\n' '\003' '"still " .. "here"\n' '\004')
[[ $output == *interrupted* && $output == *'"still here"'* ]]
check $? "Ctrl-C stops a running loop and comes back to the prompt"

ends_within_two_seconds() { # signal, code
  local pid start
  "$mien" -e "$2" 2>"$work/log" &
  pid=$!
  sleep "$START"
  start=$(date +%s%N)
  kill "-$1" "$pid"
  wait "$pid"
  status=$?
  (($(date +%s%N) - start < 2000000000))
}

ends_within_two_seconds INT 'jit.off() while true do end' && ((status == 130)) && grep -q interrupted "$work/log"
check $? "SIGINT ends an interpreted loop with 130"
ends_within_two_seconds INT 'local i = 0; while true do i = i + 1 end' && ((status == 130))
check $? "SIGINT ends a compiled loop that never calls C, with 130 within 2 s"
ends_within_two_seconds TERM 'while true do pcall(function() local i = 0; while true do i = i + 1 end end) end'
((status == 143)) && check 0 "SIGTERM ends a loop that swallows errors" || check 1 "SIGTERM ends a loop that swallows errors"
"$mien" -e 'for i = 1, 1e5 do print(i) end' | head -n 1 >/dev/null
check $((PIPESTATUS[0] > 1)) "a reader that went away is no crash"
finish
