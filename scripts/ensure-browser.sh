#!/bin/sh
# The page is tested in a real Chromium: find one, install Debian's where we may, or say how to get it.
# `playwright install` is not used: it downloads builds of its own.
for name in "${CHROMIUM:-}" chromium chromium-browser google-chrome google-chrome-stable \
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"; do
  if [ -n "$name" ] && command -v "$name" >/dev/null 2>&1; then exit 0; fi
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  echo "installing chromium for the browser tests"
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null
  exit $?
fi
echo "The browser tests need Chromium, and none was found. Install it (Debian and Ubuntu:" \
  "sudo apt install chromium; macOS: brew install --cask google-chrome) or name one by CHROMIUM." >&2
exit 1
