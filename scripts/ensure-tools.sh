#!/bin/sh
# What tests need beside Python: install Debian's packages where we may, or say how to get them.
# Without a browser nothing is tested; without the rest some tests skip, or a storm is milder.
# `playwright install` is not used: it downloads builds of its own.
missing=""

has_browser() {
  for name in "${CHROMIUM:-}" chromium chromium-browser google-chrome google-chrome-stable \
      "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"; do
    if [ -n "$name" ] && command -v "$name" >/dev/null 2>&1; then return 0; fi
  done
  return 1
}

# A fresh system knows of no packages yet.
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 \
    && ! apt-cache show chromium >/dev/null 2>&1; then
  apt-get update -qq || true
fi
has_browser || missing="$missing chromium"
# The same Chromium without its windows, where Debian has it apart: its pages open much quicker.
if ! command -v chromium-headless-shell >/dev/null 2>&1 && [ -z "${CHROMIUM:-}" ] \
    && apt-cache pkgnames 2>/dev/null | grep -qx chromium-headless-shell; then
  missing="$missing chromium-headless-shell"
fi
ls /usr/lib/*/faketime/libfaketimeMT.so.1 >/dev/null 2>&1 || missing="$missing faketime"
PATH="$PATH:/usr/sbin" command -v pgbouncer >/dev/null 2>&1 || missing="$missing pgbouncer"
PATH="$PATH:/usr/sbin" command -v ip >/dev/null 2>&1 || missing="$missing iproute2"
# A PostgreSQL with pg_cron, of whichever version Debian has. It brings no server of its own into use.
if ! ls /usr/lib/postgresql/*/lib/pg_cron.so >/dev/null 2>&1; then
  missing="$missing $(apt-cache pkgnames postgresql 2>/dev/null | grep -x 'postgresql-[0-9]*-cron')"
  if [ "$(id -u)" = 0 ] && ! [ -e /etc/postgresql-common ]; then
    mkdir -p /etc/postgresql-common
    echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
  fi
fi

if [ -n "$missing" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  echo "installing for the tests:$missing"
  # shellcheck disable=SC2086 - one word per package
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $missing >/dev/null \
    || echo "not all of it could be installed" >&2
elif [ -n "$missing" ]; then
  echo "Not here, and some tests want it (Debian and Ubuntu: sudo apt install$missing)." >&2
fi

# Real clients of resumable uploads, as judges, and a PostgreSQL that speaks TLS. Tests that need them
# skip where there is no Node.
if command -v npm >/dev/null 2>&1; then
  for folder in judges postgres; do
    at="$(dirname "$0")/../tests/$folder"
    if ! [ "$at/node_modules" -nt "$at/package-lock.json" ]; then
      npm ci --prefix "$at" --silent --no-audit --no-fund && touch "$at/node_modules" \
        || echo "Node packages of tests/$folder could not be installed" >&2
    fi
  done
fi

# Prometheus' own judge of rules and metrics, out of Debian's package: nothing of it is installed or run.
# Its tests skip where there is none.
tools="$(dirname "$0")/../.venv/bin"
if ! PATH="$PATH:$tools" command -v promtool >/dev/null 2>&1 && [ -d "$tools" ] \
    && command -v apt-get >/dev/null 2>&1 && command -v dpkg-deb >/dev/null 2>&1; then
  package="$(mktemp -d)"
  chmod 755 "$package"
  fetch() { apt-get download -qq prometheus >/dev/null 2>&1; }
  (cd "$package" && { fetch || { apt-get update -qq && fetch; }; } \
    && dpkg-deb --fsys-tarfile prometheus_*.deb | tar x ./usr/bin/promtool) \
    && mv "$package/usr/bin/promtool" "$tools/" \
    || echo "promtool could not be had (Debian and Ubuntu: sudo apt install prometheus)" >&2
  rm -rf "$package"
fi

if ! has_browser; then
  echo "The browser tests need Chromium, and none was found. Install it (Debian and Ubuntu:" \
    "sudo apt install chromium; macOS: brew install --cask google-chrome) or name one by CHROMIUM." >&2
  exit 1
fi
