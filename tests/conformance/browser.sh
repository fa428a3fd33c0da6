#!/bin/sh
# Stands in for a web browser: set BROWSER to this file. Returns at once, as a real launcher does,
# and lets consent.mjs log in and consent behind it.
here=$(cd "$(dirname "$0")" && pwd)
for argument in "$@"; do
  case "$argument" in
    http*)
      BOT_LOG=${BOT_LOG:-/dev/null} "${NODE:-node}" "$here/consent.mjs" "$argument" >/dev/null 2>&1 </dev/null &
      exit 0
      ;;
  esac
done
echo "no URL among: $*" >&2
exit 1
