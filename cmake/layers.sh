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

uses_of_c | judge
