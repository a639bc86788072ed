#!/bin/bash
# SPDX-License-Identifier: ISC
# Completion of natctl, natd, natd-web, natd-log and natlab in bash, and in zsh and fish where they are installed, with the
# commands and options of what was built and a stand-in for the natd that runs.

set -u
completions=${srcdir:-.}/packaging/completions
real=$(realpath "${NATCTL:-./natctl}")
status=0
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cat >"$work/natctl" <<STUB
#!/bin/sh
[ "\$1" != -s ] || shift 2
case \$1 in
forwards)
	echo "web tcp outside=any:80 inside=2-backends from=any balance=hash affinity=300"
	echo "game udp outside=any:27015 inside=10.8.0.9:27015 from=any"
	echo "web backend=10.8.0.2:80 weight=1 state=up sessions=3"
	echo "web backend=10.8.0.3:8080 weight=1 state=drained sessions=0"
	;;
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
offers natctl forward "" -- add remove
offers natctl forward remove "" -- web game
offers natctl backend "" -- web game
offers natctl backend web "" -- 10.8.0.2:80 10.8.0.3:8080
offers natctl backend web 10.8.0.3 : 80 -- 8080
offers natctl backend web 10.8.0.2:80 "" -- drain resume
offers natctl backend web 10.8.0.2 : 80 "" -- drain resume
offers natctl explain tcp 10.8.0.2 : 4000 192.0.2.7 : 80 "" -- in out
offers natctl explain tcp "" -- 10.8.0.2
offers natctl hosts --sort "" -- rate sessions ports
offers natctl -s /tmp/socket list --forward "" -- web game
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

# zsh_offers LINE -- EXPECTED...: collected, for one zsh for them all.
zsh_offers()
{
	printf '%s\t%s\n' "$1" "${*:3}" >>"$work/zsh.lines"
}
# An interactive zsh with its own completion system, where the line editor completes each line; what it is given to offer goes
# into a file.
zsh_completes()
{
	local file
	mkdir "$work/functions"
	for file in "$completions"/*.zsh; do
		zsh -n "$file" || status=1
		cp "$file" "$work/functions/_$(basename "$file" .zsh)"
	done
	cat >"$work/.zshrc" <<-'ZSHRC'
		fpath=($ZDOTDIR/functions $fpath)
		autoload -Uz compinit && compinit -u -D
		compadd()
		{
			local -a hits
			builtin compadd -A hits "$@"
			(( ! $#hits )) || print -rl -- $hits >>$ZDOTDIR/zsh.offered
		}
		zle -C offer complete-word _main_complete
		zle-line-init()
		{
			local line rest
			while IFS=$'\t' read -r line rest; do
				: >$ZDOTDIR/zsh.offered
				BUFFER=$line CURSOR=$#line
				zle offer
				print -r -- "$line"$'\t'"$rest"$'\t'"${(j: :)${(f)"$(<$ZDOTDIR/zsh.offered)"}}" >>$ZDOTDIR/zsh.answers
			done <$ZDOTDIR/zsh.lines
			exit
		}
		zle -N zle-line-init
	ZSHRC
	: >"$work/zsh.answers"
	ZDOTDIR=$work NATLAB_LAB=$work/lab TERM=dumb timeout 60 script -qec 'zsh -i' /dev/null </dev/null >"$work/zsh.screen" 2>&1
	local line expected offered wanted
	while IFS=$'\t' read -r line expected offered; do
		for wanted in $expected; do
			[[ " $offered " = *" $wanted "* ]] && continue
			echo "completions: zsh: \"$line\" does not offer $wanted, but: $offered"
			status=1
		done
	done <"$work/zsh.answers"
	cmp -s <(cut -f 1 "$work/zsh.lines") <(cut -f 1 "$work/zsh.answers") || {
		echo "completions: zsh did not answer to each line:"
		cat "$work/zsh.answers" "$work/zsh.screen"
		status=1
	}
}

if command -v zsh >/dev/null && command -v script >/dev/null; then
	zsh_offers "natctl " -- list monitor doctor forward reload
	zsh_offers "natctl doctor -" -- --offline --json
	zsh_offers "natctl list --forward " -- web game
	zsh_offers "natctl list --forward g" -- game
	zsh_offers "natctl -s $work/socket list -s " -- 10.8.0.2
	zsh_offers "natctl list --state " -- ESTABLISHED TIME_WAIT
	zsh_offers "natctl forward remove " -- web game
	zsh_offers "natctl backend " -- web game
	zsh_offers "natctl backend web " -- 10.8.0.2:80 10.8.0.3:8080
	zsh_offers "natctl help mon" -- monitor
	zsh_offers "natd -" -- --doctor --state
	[ ! -x "$work/natd-log" ] || zsh_offers "natd-log -" -- --config --state
	zsh_offers "natlab --nat " -- full-cone symmetric
	zsh_offers "natlab --nat full-cone,cgnat,n" -- full-cone,cgnat,no-udp
	zsh_offers "natlab in " -- nat1-host1 server
	zsh_completes
else
	echo "completions: left out: there is no zsh"
fi
if command -v fish >/dev/null; then
	for file in "$completions"/*.fish; do
		HOME=$work fish --no-config -n "$file" || status=1
	done
	fish_offers natctl "natctl " -- list monitor doctor
	fish_offers natctl "natctl doctor -" -- --offline
	fish_offers natctl "natctl list --forward " -- web game
	fish_offers natctl "natctl list -s " -- 10.8.0.2
	fish_offers natctl "natctl -s $work/socket list --state " -- ESTABLISHED TIME_WAIT
	fish_offers natctl "natctl -s $work/socket forward remove " -- web game
	fish_offers natctl "natctl backend web " -- 10.8.0.2:80 10.8.0.3:8080
	fish_offers natctl "natctl backend web 10.8.0.2:80 " -- drain resume
	fish_offers natctl "natctl help " -- forward backend
	fish_offers natd "natd -" -- --doctor --state
	fish_offers natlab "natlab --nat " -- full-cone symmetric
	fish_offers natlab "natlab in " -- nat1-host1 server
fi
exit $status
