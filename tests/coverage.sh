#!/bin/bash
# SPDX-License-Identifier: ISC
# After `make check` in a build configured with --enable-coverage: lines run and branches taken, by file, least covered
# first, and in all of the core and of everything.
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
find src -name '*.gcda' -print0 | (cd coverage && xargs -0 -n 1 -I{} gcov -b -s "$root" -r ../{} 2>/dev/null) |
	awk -v root="$root/" '
	/^File / { file = $2; gsub("\047", "", file); sub(root, "", file) }
	/^Lines executed:/ && file ~ /^src\/.*\.c$/ {
		split($0, part, /[:% ]+/)
		lines[file] = part[5]
		if (part[3] + 0 > best[file] + 0) best[file] = part[3]
	}
	/^Taken at least once:/ && file ~ /^src\/.*\.c$/ {
		split($0, part, /[:% ]+/)
		branches[file] = part[7]
		if (part[5] + 0 > taken[file] + 0) taken[file] = part[5]
	}
	function add(what, file) {
		total[what] += lines[file]
		run[what] += lines[file] * best[file] / 100
		total_branches[what] += branches[file]
		taken_branches[what] += branches[file] * taken[file] / 100
	}
	function show(line_share, n_lines, branch_share, n_branches, what) {
		return sprintf("%6.1f %% of %5d lines  %6.1f %% of %5d branches  %s", line_share, n_lines, branch_share, n_branches, what)
	}
	function share(part, whole) {
		return whole ? 100 * part / whole : 100
	}
	function sum(what) {
		print show(share(run[what], total[what]), total[what], share(taken_branches[what], total_branches[what]),
			   total_branches[what], what)
	}
	END {
		for (file in lines) {
			print show(best[file], lines[file], branches[file] ? taken[file] : 100, branches[file], file) | "sort -n"
			add("total", file)
			if (file ~ /^src\/core\//)
				add("src/core", file)
		}
		close("sort -n")
		sum("src/core")
		sum("total")
	}'
