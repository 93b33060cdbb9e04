#!/bin/sh
# Everything that must be on the machine before a build: `setup.sh demo`, `setup.sh test`,
# `setup.sh bench`.
#
# It installs what is missing and nothing else, never removes or replaces a
# package, and starts no service. When nothing is missing it calls no apt at
# all. The tests' card reader, PostgreSQL, sshd and TigerVNC are never installed:
# where they are not on the machine already, their packages are unpacked under target/.
set -eu

say() { printf '%s\n' "$*" >&2; }
stop() { say "afterglow: $*"; exit 1; }

root=$(cd "$(dirname "$0")/.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}

# What building needs beside a compiler, what a session runs, what the DTU's
# window loads. The tests need the same.
build_packages="pkg-config libpcsclite-dev"
session_packages="xvfb dbus x11-xkb-utils x11-xserver-utils xkb-data xfonts-base openbox tint2 xterm"
window_packages="libxkbcommon0 libxkbcommon-x11-0 libxcb-xkb1 libx11-xcb1 libxcursor1 libxi6
    libxrandr2 libvulkan1 mesa-vulkan-drivers libegl1 libgl1-mesa-dri"
# Hosts with networks of their own, in namespaces.
network_packages="iproute2 util-linux"
# A reader in software listens on every address, and a person's own pcscd is
# not ours to touch: the test runs private copies in namespaces of its own.
reader_packages="pcscd vsmartcard-vpcd"
# The tests start a PostgreSQL of their own; an installed one is left alone.
store_packages="postgresql"
# Homes on a host of their own: a private sshd, and sshfs to mount them. No
# installed sshd is started or asked.
home_packages="sshfs openssh-client openssh-server"
# What the bench compares with. It does without where this cannot be had.
rival_packages="tigervnc-standalone-server tigervnc-viewer"
# systemd-analyze checks the server's unit; no systemd is started.
unit_packages="systemd"

check_tools() {
    command -v cc >/dev/null 2>&1 ||
        stop "there is no C compiler: install Debian's build-essential (apt-get install build-essential)."
    command -v cargo >/dev/null 2>&1 && command -v rustc >/dev/null 2>&1 ||
        stop "there is no Rust: install it from https://rustup.rs and open a new shell."
    need=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$root/Cargo.toml")
    have=$(cd "$root" && rustc --version | sed 's/^rustc \([0-9.]*\).*/\1/')
    [ "$(printf '%s\n%s\n' "$need" "$have" | sort -V | head -n 1)" = "$need" ] ||
        stop "Rust $have is too old, $need or newer is needed: run 'rustup update stable'."
}

check_lint_tools() {
    cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 ||
        stop "cargo fmt or cargo clippy is missing: run 'rustup component add rustfmt clippy'."
}

installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

missing_of() {
    for package in "$@"; do
        installed "$package" || printf '%s ' "$package"
    done
}

# A package is known if apt could install it now, a virtual one included.
known() {
    for package in "$@"; do
        apt-cache policy "$package" 2>/dev/null | grep -q 'Candidate: [^(]' || return 1
    done
}

install_missing() {
    command -v dpkg-query >/dev/null 2>&1 && command -v apt-get >/dev/null 2>&1 ||
        stop "this is neither Debian nor Ubuntu: install what these packages hold, then build with cargo: $*"
    missing=$(missing_of "$@")
    [ -n "$missing" ] || return 0
    # The list is split into words on purpose, here and below.
    # shellcheck disable=SC2086
    set -- $missing
    as_root=
    if [ "$(id -u)" != 0 ]; then
        if command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
            as_root="sudo -n"
        elif command -v sudo >/dev/null 2>&1 && [ -t 0 ] && [ -t 2 ]; then
            as_root=sudo
        else
            stop "some packages are missing and this user cannot install them. As root, run:
apt-get install --no-install-recommends --no-remove $*"
        fi
    fi
    say "Installing Debian packages: $*"
    known "$@" || $as_root apt-get update -q >&2 ||
        stop "'apt-get update' failed (see above): is the network up?"
    for package in "$@"; do
        known "$package" || stop "the package '$package' cannot be had from this machine's apt sources."
    done
    apt="$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends --no-remove"
    # A list of packages that is out of date names files that are gone: fetch
    # it once before giving up.
    $apt "$@" >&2 || { $as_root apt-get update -q >&2 && $apt "$@" >&2; } ||
        stop "these packages could not be installed (see above): $*"
}

# Packages with what they need, unpacked under target/NAME where the tests look:
# unpack NAME PACKAGES...
unpack() {
    dir=$target/$1
    shift
    missing=$(missing_of "$@")
    [ -n "$missing" ] && [ ! -e "$dir/complete" ] || return 0
    say "Unpacking for the tests, under $dir alone: $missing"
    rm -rf "$dir"
    mkdir -p "$dir/packages"
    # shellcheck disable=SC2086
    names=$(apt-get install --print-uris -qq --no-install-recommends $missing 2>/dev/null |
        awk '{ sub(/_.*/, "", $2); print $2 }')
    [ -n "$names" ] || stop "the packages $missing cannot be had from this machine's apt sources."
    # shellcheck disable=SC2086
    (cd "$dir/packages" && apt-get download -q $names >&2) ||
        stop "the packages $missing could not be downloaded (see above)."
    for package in "$dir"/packages/*.deb; do
        dpkg-deb -x "$package" "$dir"
    done
    rm -rf "$dir/packages"
    touch "$dir/complete"
}

# The lists above are split into words on purpose.
# shellcheck disable=SC2086
case "${1:-}" in
    demo)
        check_tools
        install_missing $build_packages $session_packages $window_packages
        ;;
    bench)
        check_tools
        install_missing $build_packages $session_packages $window_packages $network_packages
        unpack postgres $store_packages
        unpack sshfs $home_packages
        "$0" rival || say "TigerVNC cannot be had: the bench measures Afterglow alone."
        ;;
    # Only for the line above.
    rival) unpack tigervnc $rival_packages ;;
    test)
        check_tools
        check_lint_tools
        install_missing $build_packages $session_packages $window_packages $network_packages \
            $unit_packages
        unpack reader $reader_packages
        unpack postgres $store_packages
        unpack sshfs $home_packages
        ;;
    *) stop "usage: setup.sh demo|test|bench" ;;
esac
