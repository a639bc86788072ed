#!/bin/sh
# SPDX-License-Identifier: ISC
# Makes a C file of the page: embed.sh DIRECTORY >page_data.c

set -e
dir=$1

bytes()
{
	printf 'static const unsigned char %s[] = {\n' "$2"
	od -An -v -tx1 "$dir/$1" | sed 's/ \([0-9a-f][0-9a-f]\)/0x\1,/g'
	printf '};\n'
}

echo '/* Made by embed.sh from src/web/page. */'
echo '#include "web/assets.h"'
bytes index.html page
bytes natd.css css
bytes natd.js js
bytes icon.svg icon
cat <<'END'
const struct asset assets[] = {
	{"/", "text/html; charset=utf-8", page, sizeof(page)},
	{"/natd.css", "text/css; charset=utf-8", css, sizeof(css)},
	{"/natd.js", "text/javascript; charset=utf-8", js, sizeof(js)},
	{"/icon.svg", "image/svg+xml", icon, sizeof(icon)},
};
const size_t n_assets = sizeof(assets) / sizeof(assets[0]);
END
