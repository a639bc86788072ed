#!/bin/sh
# SPDX-License-Identifier: ISC
# What is shipped for Prometheus and Grafana can be loaded, and names only metrics that natd-web has.

root=${srcdir:-.}
rules=$root/packaging/prometheus/natd.rules
board=$root/packaging/grafana/natd.json
status=0

# Every natd_ name in the two files begins with that of a metric in metrics.c or of a counter of natctl stats.
known=$(
	tr '\n\t' '  ' <"$root/src/web/metrics.c" | grep -oE '"[a-z_]+", *(COUNTER|GAUGE|SUMMARY|INFO)' | sed 's/"\([a-z_]*\)".*/\1/'
	sed -n 's/^\tX([A-Z0-9_]*, *"\([a-z0-9_]*\)",.*/\1/p' "$root/src/core/base/reason.h" "$root/src/daemon/path/iocounter.h"
	sed -n 's/^\tX(\([a-z0-9_]*\), .*/\1/p' "$root/src/daemon/control/metrics.h"
)
[ -n "$known" ] || { echo "web: no metrics found" >&2; exit 1; }
grep -oh 'natd_[a-z_]*' "$rules" "$board" | sort -u >natd-web-names.$$
while read -r name; do
	short=${name#natd_}
	for end in _total _seconds _sum _count _info _bytes ''; do
		echo "$known" | grep -qx "${short%"$end"}" && continue 2
	done
	echo "web: there is no metric $name" >&2
	status=1
done <natd-web-names.$$
rm -f natd-web-names.$$
if ! command -v python3 >/dev/null; then
	echo "web: the dashboard was not parsed: there is no python3"
elif ! python3 -c 'import json, sys; json.load(open(sys.argv[1]))' "$board"; then
	echo "web: $board is no JSON" >&2
	status=1
fi
if ! command -v promtool >/dev/null; then
	echo "web: the rules were not checked: there is no promtool"
	[ $status -ne 0 ] || exit 77
else
	promtool check rules "$rules" || status=1
	# Each expression of the dashboard is one of Prometheus, with Grafana's variables filled in.
	if command -v python3 >/dev/null; then
		python3 - "$board" >natd-web-board.$$ <<-'END' || status=1
			import json, re, sys
			found = []
			json.load(open(sys.argv[1], encoding="utf-8"),
			          object_hook=lambda o: found.append(o["expr"]) if "expr" in o else o)
			assert found, "the dashboard has no expressions"
			print("groups:\n- name: board\n  rules:")
			for i, expression in enumerate(found):
			    filled = re.sub(r"\$__(rate_)?interval", "5m", expression)
			    filled = re.sub(r"\$\{?\w+(:\w+)?\}?", "x", filled)
			    print(f"  - record: board:expression:{i}\n    expr: {json.dumps(filled)}")
		END
		promtool check rules natd-web-board.$$ || status=1
		rm -f natd-web-board.$$
	fi
fi
exit $status
