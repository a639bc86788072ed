#!/bin/bash
# SPDX-License-Identifier: ISC
# What can be said of the sources without running them. Run from a configured build directory.
#
#   lint.sh [-s SOURCE-TREE] [CHECK...]
#
# Without CHECKs all of them. Each prints one line; a failed one its findings before it. The last line counts.

set -u
root=${srcdir:-.}
if [ "${1:-}" = -s ]; then
	root=$2
	shift 2
fi
all="format headers layering shell man python cppcheck tidy"
jobs=$(nproc)
flags=(-std=gnu11 -D_FORTIFY_SOURCE=0 -I"$root/src" -I"$root/tests/unit" -DSYSCONFDIR='"/etc"' -DRUNSTATEDIR='"/run"')
read -ra fixbuf < <(pkg-config --cflags-only-I libfixbuf 2>/dev/null) # its headers include glib's
flags+=("${fixbuf[@]}")
if [ -f config.h ]; then
	flags+=(-include config.h)
fi

# Sources, NUL-separated, by a `find` expression on their names.
sources()
{
	find "$root/src" "$root/tests" "$@" -not -path '*/.*' -print0 | sort -z
}

# One line a file; `make format` mends them.
format()
{
	sources -name '*.[ch]' | xargs -0 -n 8 -P "$jobs" clang-format --style=file --dry-run -Werror 2>&1 |
		sed -n 's/^\([^ :]*\):[0-9]*:[0-9]*: .*/\1/p' | sort | uniq -c
	[ "${PIPESTATUS[1]}" -eq 0 ]
}

headers()
{
	sources -name '*.h' | xargs -0 -n 1 -P "$jobs" "${CC:-cc}" "${flags[@]}" -D_GNU_SOURCE -Wall -Wextra -Werror \
		-fsyntax-only -x c
}

layering()
{
	"$root/tests/check-layering.sh" "$root" "${LIBRARY:-}"
}

shell()
{
	local in=()
	for directory in .ci debian packaging tests; do
		[ ! -d "$root/$directory" ] || in+=("$root/$directory")
	done
	{
		find "$root" -maxdepth 1 \( -name demo -o -name check -o -name autogen.sh -o -name get-version \) -print0
		find "${in[@]}" -type f \( -name '*.sh' -o -path '*/.ci/*' -o -path '*/tests/*/run' -o -path '*/tests/packages/oci' \
			-o -path '*/packaging/build-*' -o -path '*/packaging/install-packages' -o -path '*/packaging/release-ready' \
			-o -path '*/debian/*.p[or]*' \) -print0
	} | xargs -0 shellcheck -x -P "$root" &&
		{ [ ! -f "$root/packaging/openwrt/natd.init" ] || shellcheck -s dash "$root/packaging/openwrt/natd.init"; }
}

man()
{
	local out
	out=$(find "$root/man" -name '*.[1-8]*' -print0 | sort -z | xargs -0 -r mandoc -T lint -W warning)
	[ -z "$out" ] || { echo "$out"; return 1; }
}

python()
{
	find "$root/tests" -name '*.py' -print0 |
		xargs -0 -r /usr/bin/python3 -c 'import ast, sys
for name in sys.argv[1:]:
    ast.parse(open(name).read(), name)'
}

# In tcp.c an action returns a value, not the segment that it was given.
cppcheck()
{
	command cppcheck -q -j "$jobs" --std=c11 --language=c --enable=warning,performance,portability --inline-suppr \
		--suppress=missingIncludeSystem --suppress=unmatchedSuppression \
		--suppress=returnDanglingLifetime:*/core/tcp.c --error-exitcode=1 \
		-i "$root/src/bpf/steer.bpf.c" -I "$root/src" "$root/src"
}

# Not the loader of the tc programs: bpftool makes a header for it, which has faults. The analyzer follows a function's paths for
# LINT_NODES steps: its own limit, 225000, takes four times as long (`make check-all` has it).
tidy()
{
	local analyzer=(-Xclang -analyzer-config -Xclang "max-nodes=${LINT_NODES:-50000}")

	sources -path "$root/src/*.c" -not -path '*/src/bpf/load.c' |
		xargs -0 -r -I{} -P "$jobs" clang-tidy --quiet --config-file="$root/.clang-tidy" {} -- "${flags[@]}" "${analyzer[@]}" 2>/dev/null
}

tool()
{
	case $1 in
	format) echo clang-format ;;
	headers) echo "${CC:-cc}" ;;
	layering) echo nm ;;
	shell) echo shellcheck ;;
	man) echo mandoc ;;
	python) echo /usr/bin/python3 ;;
	cppcheck) echo cppcheck ;;
	tidy) echo clang-tidy ;;
	esac
}

passed=0 failed=0 skipped=0
[ $# -gt 0 ] || eval "set -- $all"
for check in "$@"; do
	tool=$(tool "$check")
	if [ -z "$tool" ]; then
		echo "lint: there is no check \"$check\", but these: $all"
		failed=$((failed + 1))
	elif ! type -P "${tool%% *}" >/dev/null; then
		echo "lint: $check skipped: there is no ${tool%% *}"
		skipped=$((skipped + 1))
	elif out=$($check 2>&1); then
		echo "lint: $check passed"
		passed=$((passed + 1))
	else
		printf '%s\nlint: %s failed\n' "$out" "$check"
		failed=$((failed + 1))
	fi
done
echo "lint: $passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
