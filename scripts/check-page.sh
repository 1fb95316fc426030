#!/bin/sh
# The types of the page's modules, from their JSDoc. The checker comes from npm and is needed for this
# alone: the page itself has no build, and docmill runs and is tested without Node.
cd "$(dirname "$0")/page-types" || exit 1
if ! command -v npm >/dev/null 2>&1; then
  echo "The page's types were not checked: npm is not here (Debian and Ubuntu: sudo apt install npm;" \
    "macOS: brew install node). Everything else was."
  exit 0
fi
if [ ! -e node_modules/installed ] || [ package-lock.json -nt node_modules/installed ]; then
  npm ci --silent --no-audit --no-fund && touch node_modules/installed || exit 1
fi
exec node_modules/.bin/tsc --project tsconfig.json
