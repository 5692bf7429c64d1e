# Sourced by the shell tests: checks that answer in TAP. Not here: any test.
count=0 failures=0
check() { # status of the condition, description; what went wrong may stand in the file $log
  count=$((count + 1))
  if (($1 == 0)); then echo "ok $count - $2"; else
    echo "not ok $count - $2"
    failures=$((failures + 1))
    [ -z "${log:-}" ] || tail -20 "$log" | sed 's/^/# /'
  fi
}
finish() {
  echo "1..$count"
  exit $((failures > 0))
}
