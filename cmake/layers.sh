#!/usr/bin/env bash
# Do the sources keep to the layers of cmake/layers.txt? Prints each line that does not, and fails then.
#   cmake/layers.sh [FOLDER]      of a checkout, by default this one
# Not here: the layers themselves; what each is for (docs/design.md).
set -euo pipefail
cd "${1:-$(dirname "$0")/..}"

# Each of these gives a line "file:line used" for all that a language's sources use, `used` being a file of the project;
# "file:line ? why" where that cannot be told; and "file" for each file, used by others or not.

uses_of_c() { # includes are paths from core/, or names of files of the same folder
  local sources='.*\.(c|h|cpp|cu|def)'
  find core -regextype posix-extended -regex "$sources"
  find core -regextype posix-extended -regex "$sources" -exec grep -nH '^ *# *include "' {} + |
    sed -E 's/^([^:]+):([0-9]+): *# *include "([^"]*)".*/\1 \2 \3/' |
    while read -r file line name; do
      folder=${file%/*}
      if [ "$name" = plugin_abi.h ]; then continue # made by cmake/generate.cmake
      elif [[ $name != */* && -f $folder/$name ]]; then echo "$file:$line $folder/$name"
      elif [[ $name != *..* && -f core/$name && core/${name%/*} != "$folder" ]]; then echo "$file:$line core/$name"
      else echo "$file:$line ? includes \"$name\"; it takes a path from core/, or the name of a file beside it"; fi
    done
}

uses_of_lua() { # modules, wherever a file names one; base/parts.lua only says where the public names are
  find lua/mien -name '*.lua'
  find lua/mien -mindepth 1 -maxdepth 1 -type d | while read -r folder; do
    grep -q "^$folder:" cmake/layers.txt || echo "$folder ? is not in cmake/layers.txt"
  done
  find lua/mien -name '*.lua' ! -path lua/mien/base/parts.lua -exec awk '
    {
      rest = $0
      while (match(rest, /["\047]mien(\.[a-z_0-9]+)*["\047]/)) {
        before = substr(rest, 1, RSTART - 1)
        print FILENAME ":" FNR, substr(rest, RSTART + 5, RLENGTH - 6) ".", before ~ /require[ (]*$/ ? "required" : "named"
        rest = substr(rest, RSTART + RLENGTH)
      }
    }' {} + |
    while read -r place name how; do # the name with a dot before and behind it; a dot alone: the entry
      name=${name#.} name=${name%.} path=lua/mien/${name//.//}
      case $name in host | cdef) continue ;; esac # made by the executable and by cmake/generate.cmake
      if [[ -z $name ]]; then [[ $how == named ]] || echo "$place lua/mien/init.lua" # else a word in a text
      elif [[ -f $path.lua ]]; then echo "$place $path.lua"
      elif [[ -f $path/init.lua ]]; then echo "$place $path/init.lua"
      elif [[ $how == required ]]; then echo "$place ? requires mien.$name, which is no file of lua/mien"; fi
    done
}

judge() { # what the functions above print, against the list
  awk -v list=cmake/layers.txt '
    function layer(file) { # the longest listed folder that it lies in
      while (sub(/\/[^\/]*$/, "", file)) if (file in rank) return file
      return ""
    }
    function complain(place, text) { print place ": " text; bad = 1 }
    BEGIN {
      while ((getline text < list) > 0) {
        at++
        if (text ~ /^ *(#|$)/) continue
        n = split(text, word, /:? +|:$/)
        for (i = 2; i <= n; i++) {
          if (word[i] == "*") for (lower in rank) may[word[1], lower] = 1
          else if (word[i] != "" && !(word[i] in rank)) complain(list ":" at, word[i] " stands not further up")
          may[word[1], word[i]] = 1
        }
        rank[word[1]] = at
      }
      if (!at) complain(list, "cannot be read")
    }
    NF == 1 && layer($1) == "" { complain($1, "its folder is not in " list) }
    $2 == "?" { place = $1; sub(/^[^?]*\? /, ""); complain(place, $0) }
    NF == 2 {
      from = layer($1); to = layer($2)
      if (from != to && !((from, to) in may)) complain($1, from " may not use " to " (" $2 ")")
    }
    END { exit bad }'
}

{ uses_of_c; uses_of_lua; } | judge
