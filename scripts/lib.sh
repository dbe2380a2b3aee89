# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What every script here shares: messages, the cache, long steps. Sourced, not run.

: "${XDG_CACHE_HOME:=$HOME/.cache}"
export XDG_CACHE_HOME

# Everything costly to make lives here, outside the tree; `make clean-cache` removes it.
cache=$XDG_CACHE_HOME/vfio-pasid
# shellcheck disable=SC2034 # for those who source this
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
logs=$cache/log
self=${0##*/}
# The series of KERNEL if none is named.
# shellcheck disable=SC2034 # for those who source this
default_kernel=$(awk -v suite="${SUITE:-trixie}" '$1 == suite { print $2; exit }' \
	"$top/scripts/kernels.list")

say() {
	printf '%s: %s\n' "$self" "$*" >&2
}

# make takes a space for the end of a path, and kbuild refuses a colon.
case $top$cache in
*[[:space:]:]*)
	printf '%s: error: %s\n' "$self" "a path with a space or a colon is not for make: $top, $cache" >&2
	printf '%s:   %s\n' "$self" "move the tree, or set XDG_CACHE_HOME to another folder" >&2
	exit 1
	;;
esac

# die MESSAGE [WHAT-TO-DO-NEXT...]
die() {
	say "error: $1"
	shift
	local line
	for line in "$@"; do
		say "  $line"
	done
	exit 1
}

# As die: the first line is the message, the others what to do.
# die_with "MESSAGE<newline>WHAT TO DO" [MORE TO DO...]
die_with() {
	local lines
	mapfile -t lines <<<"$1"
	shift
	die "${lines[@]}" "$@"
}

# The comment block at the head of the calling script is its --help text.
usage() {
	sed -n '/^# Usage:/,/^[^#]/{/^#/!d;s/^# \{0,1\}//;p}' "$0"
}

# Runs a long step with its output in a log: one line when it starts, one every
# 20 seconds, one when it ends, and the end of the log when it fails.
# long_step NAME TEXT COMMAND...
long_step() {
	local text=$2 log=$logs/$1.log pid start=$SECONDS
	shift 2
	mkdir -p "$logs"
	say "$text ..."
	"$@" >"$log" 2>&1 </dev/null &
	pid=$!
	while kill -0 "$pid" 2>/dev/null; do
		sleep 0.2
		if ((SECONDS - start >= ${next:=20})); then
			say "  ... $((SECONDS - start)) s, $(wc -l <"$log") lines in $log"
			((next += 20))
		fi
	done
	unset next
	if ! wait "$pid"; then
		tail -n 25 "$log" >&2
		die "$text: failed after $((SECONDS - start)) s" "the whole output is in $log"
	fi
	say "  done in $((SECONDS - start)) s"
}

# Programs in Rust that run in guests, where there are no libraries. Not in the cache:
# cargo takes one clone's files for those of another.
guest_target=x86_64-unknown-linux-gnu
# shellcheck disable=SC2034 # those that source this use it
guest_programs=$top/build/tools/$guest_target/guest

# build_for_guests OPTION...: with cargo's options that name them, into $guest_programs.
# ld says of every static program that its library could look up names, before it drops
# that code; sid's rustc passes that on, and trixie's knows no such lint.
build_for_guests() (
	cd "$top/tools" || exit
	RUSTFLAGS="-C target-feature=+crt-static -A unknown_lints -A linker_messages" \
		CARGO_TARGET_DIR="$top/build/tools" \
		cargo build --locked --profile guest --target "$guest_target" "$@"
)

# Holds the named lock of the cache until this script ends. The lock is a file
# descriptor that children do not inherit, so a stray child cannot keep it.
lock_cache() {
	mkdir -p "$cache"
	exec {lock_fd}>"$cache/$1.lock"
	if ! flock -n "$lock_fd"; then
		say "waiting for another run that is making $1"
		flock "$lock_fd"
	fi
}

unlock_cache() {
	exec {lock_fd}>&-
}

# Removes a tree of the cache, also one that mmdebstrap made with the user's
# subordinate ids.
remove_tree() {
	[ -e "$1" ] || return 0
	rm -rf "$1" 2>/dev/null || mmdebstrap --unshare-helper rm -rf "$1"
}
