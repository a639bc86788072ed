#!/bin/bash
# SPDX-License-Identifier: ISC
# After `make check` in a build configured with --enable-coverage: lines run, by file, least covered first.
#
#   coverage.sh SOURCE-TREE

set -u
root=$(realpath "${1:-.}")
notes=$(find . -path './src/*' -name '*.gcda')
if [ -z "$notes" ]; then
	echo "coverage: nothing was measured: configure with --enable-coverage, then make coverage" >&2
	exit 1
fi
mkdir -p coverage
find src -name '*.gcda' -print0 | (cd coverage && xargs -0 -n 1 -I{} gcov -s "$root" -r ../{} 2>/dev/null) |
	awk -v root="$root/" '
	/^File / { file = $2; gsub("\047", "", file); sub(root, "", file) }
	/^Lines executed:/ && file ~ /^src\/.*\.c$/ {
		split($0, part, /[:% ]+/)
		lines[file] = part[5]
		if (part[3] + 0 > best[file] + 0) best[file] = part[3]
	}
	END {
		for (file in lines) {
			printf "%6.1f %%  %5d lines  %s\n", best[file], lines[file], file | "sort -n"
			total += lines[file]
			run += lines[file] * best[file] / 100
		}
		close("sort -n")
		printf "%6.1f %%  %5d lines  total\n", total ? 100 * run / total : 0, total
	}'
