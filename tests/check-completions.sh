#!/bin/bash
# SPDX-License-Identifier: ISC
# Completion of natctl, natd, natd-web and natlab in bash, with the commands and options of what was built and a stand-in
# for the natd that runs; that zsh and fish can read theirs, where they are installed, and what fish offers.

set -u
completions=${srcdir:-.}/packaging/completions
real=$(realpath "${NATCTL:-./natctl}")
status=0
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cat >"$work/natctl" <<STUB
#!/bin/sh
case \$1 in
forwards) echo "web       tcp 203.0.113.1:80"; echo "game      udp 203.0.113.1:27015" ;;
mappings) echo "tcp 10.8.0.2:4000 203.0.113.1:60001" ;;
*) exec "$real" "\$@" ;;
esac
STUB
chmod +x "$work/natctl"
PATH=$work:$PATH
# What is not built (natd-web, without its libraries) has no options to offer.
build=$(dirname "$real")
for program in natd natd-web natd-log natlab; do
	[ ! -x "$build/$program" ] || ln -s "$build/$program" "$work/$program"
done
mkdir "$work/lab" && printf '198.51.100.10 server\n192.168.1.2 nat1-host1\n' >"$work/lab/hosts"
# shellcheck source=/dev/null
. "$completions/natctl.bash"
# shellcheck source=/dev/null
. "$completions/natd.bash"
# shellcheck source=/dev/null
. "$completions/natlab.bash"

# offers PROGRAM WORD... -- EXPECTED...: the last WORD is the one to complete; all EXPECTED are offered.
offers()
{
	local function=_${1%-*} wanted
	COMP_WORDS=()
	while [ "$1" != -- ]; do
		COMP_WORDS+=("$1")
		shift
	done
	shift
	COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
	COMPREPLY=()
	$function
	for wanted in "$@"; do
		case " ${COMPREPLY[*]} " in
		*" $wanted "*) ;;
		*)
			echo "completions: \"${COMP_WORDS[*]}\" does not offer $wanted, but: ${COMPREPLY[*]}"
			status=1
			;;
		esac
	done
}

offers natctl "" -- status list monitor -L reload --json
offers natctl mon -- monitor
offers natctl list "" -- -p --orig-src --state --forward --json
offers natctl -s /tmp/socket list --state "" -- ESTABLISHED TIME_WAIT
offers natctl list --forward "" -- web game
offers natctl list -s "" -- 10.8.0.2
offers natctl help "" -- monitor
offers natlab "" -- shell in
offers natlab --nat "" -- full-cone symmetric
offers natlab --nat full-cone,cgnat,no -- full-cone,cgnat,no-udp
NATLAB_LAB=$work/lab offers natlab in "" -- server nat1-host1

offers natctl doctor "" -- --offline --config --json
offers natd "" -- --doctor --state --test -c
offers natd --st -- --state
[ ! -x "$work/natd-web" ] || offers natd-web "" -- --listen --socket
[ ! -x "$work/natd-log" ] || offers natd-log "" -- --config --state
offers natd-web --listen "" -- 127.0.0.1:9642
# Each command that natctl has can be completed.
while read -r command; do
	offers natctl "" -- "$command"
done < <("$real" help | sed -n '/^Commands:/,/^$/p' | sed -nE 's/^ {6}([a-z-]+).*/\1/p')

# fish_offers PROGRAM LINE -- EXPECTED...
fish_offers()
{
	local program=$1 line=$2 offered wanted
	shift 3
	offered=$(HOME=$work NATLAB_LAB=$work/lab fish --no-config -c "source $completions/$program.fish; complete -C '$line'" | cut -f 1)
	for wanted in "$@"; do
		grep -qxF -- "$wanted" <<<"$offered" && continue
		echo "completions: fish: \"$line\" does not offer $wanted, but: ${offered//$'\n'/ }"
		status=1
	done
}
for file in "$completions"/*.zsh; do
	! command -v zsh >/dev/null || zsh -n "$file" || status=1
done
if command -v fish >/dev/null; then
	for file in "$completions"/*.fish; do
		HOME=$work fish --no-config -n "$file" || status=1
	done
	fish_offers natctl "natctl " -- list monitor doctor
	fish_offers natctl "natctl doctor -" -- --offline
	fish_offers natctl "natctl list --forward " -- web game
	fish_offers natd "natd -" -- --doctor --state
	fish_offers natlab "natlab --nat " -- full-cone symmetric
	fish_offers natlab "natlab in " -- nat1-host1 server
fi
exit $status
