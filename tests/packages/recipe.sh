# shellcheck shell=bash disable=SC2154
# SPDX-License-Identifier: ISC
# docs/recipes.md, carried out as it stands there. Set before: `tree`, with docs/, and `work`, a directory; `inside COMMAND...` runs
# something on the host that the recipe is for.

# recipe HEADING: the blocks below it. One whose first line is a comment with a path is that file; the others are
# commands, but for "text", which is what a program prints.
recipe()
{
	local blocks=$work/recipe file path
	rm -rf "$blocks" && mkdir "$blocks"
	awk -v heading="## $1" -v to="$blocks/" '
		$0 == heading { on = 1; next }
		on && /^## / { exit }
		on && /^```/ { if (inside) close(file); else file = sprintf("%s%02d", to, ++n); inside = !inside; is_text = /text$/; next }
		on && inside && !is_text { print >file }' "$tree/docs/recipes.md"
	[ -n "$(ls "$blocks")" ] || { echo "docs/recipes.md has no block below \"$1\""; return 1; }
	for file in "$blocks"/*; do
		path=$(sed -nE '1s|^# (/[^ ]*)$|\1|p' "$file")
		if [ -n "$path" ]; then
			inside mkdir -p "$(dirname "$path")" && inside sh -c "cat >$path" <"$file" || return 1
		else
			inside bash -exc "$(cat "$file")" || return 1
		fi
	done
}
