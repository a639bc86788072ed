# bash completion for natctl(8)                             -*- shell-script -*-
# SPDX-License-Identifier: ISC
#
# Commands and options come from `natctl help' itself, so that they cannot fall behind; forwards and hosts from the natd
# that runs.

_natctl()
{
	local cur prev word i command='' ctl=natctl socket=() words=() last

	COMPREPLY=()
	# bash begins a new word at a colon, natctl does not: HOST:PORT is one.
	for ((i = 0; i <= COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		last=$((${#words[@]} - 1))
		if ((last > 0)) && [[ $word = :* || (${words[last]} = *: && $word) ]]; then
			words[last]+=$word
		else
			words+=("$word")
		fi
	done
	last=$((${#words[@]} - 1))
	cur=${words[last]}
	prev=${words[last - 1]}
	for ((i = 1; i < last; i++)); do
		word=${words[i]}
		case $word in
		-s | --socket)
			socket=(-s "${words[i + 1]}")
			((i++))
			;;
		-o | --output) ((i++)) ;;
		-[LCSDFE] | [a-z]*)
			command=$word
			break
			;;
		esac
	done
	# Which argument of the command this is, options counted too.
	local argument=$((last - i))

	_natctl_words()
	{
		mapfile -t COMPREPLY < <(compgen -W "$*" -- "$cur")
	}
	_natctl_files()
	{
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
	}
	_natctl_forwards()
	{
		$ctl "${socket[@]}" forwards 2>/dev/null | cut -d' ' -f1 | sort -u
	}
	# The backends of the forward $1, but for what bash has as words before the current one.
	_natctl_backends()
	{
		_natctl_words "$($ctl "${socket[@]}" forwards 2>/dev/null |
			awk -v name="$1" '$1 == name && sub(/^backend=/, "", $2) { print $2 }')"
		[[ $cur != *:* ]] || COMPREPLY=("${COMPREPLY[@]#"${cur%:*}:"}")
	}
	# The inside addresses that natd has sessions of.
	_natctl_hosts()
	{
		$ctl "${socket[@]}" mappings 2>/dev/null | grep -oE '\b(src=)?([0-9]+\.){3}[0-9]+' | sed 's/^src=//' | sort -u
	}

	case $prev in
	-o | --output)
		_natctl_words line table json save extended id mark timestamp
		return
		;;
	-p | --proto)
		_natctl_words tcp udp icmp gre sctp esp
		return
		;;
	--state)
		_natctl_words SYN_SENT SYN_SENT2 SYN_RECV ESTABLISHED FIN_WAIT CLOSE_WAIT LAST_ACK TIME_WAIT CLOSE
		return
		;;
	-u | --status)
		_natctl_words SEEN_REPLY ASSURED UNSET
		return
		;;
	-e | --event-mask)
		_natctl_words NEW UPDATE DESTROY MAPPING BLOCK BACKEND ALARM CONFIG REFUSED
		return
		;;
	-f | --family)
		_natctl_words ipv4
		return
		;;
	--forward)
		_natctl_words "$(_natctl_forwards)"
		return
		;;
	-d | --orig-dst | --dst | -r | --reply-src | -q | --reply-dst | --orig-src | --src)
		_natctl_words "$(_natctl_hosts)"
		return
		;;
	--side)
		_natctl_words inside outside both
		return
		;;
	--sort)
		_natctl_words rate sessions ports
		return
		;;
	--socket | -w | --write | --config | --log)
		_natctl_files
		return
		;;
	-s)
		if [[ $command ]]; then
			_natctl_words "$(_natctl_hosts)"
		else
			_natctl_files
		fi
		return
		;;
	esac
	# The words of a command itself.
	case $command:$argument:$prev in
	forward:1:*)
		_natctl_words add remove
		return
		;;
	forward:*:remove | backend:1:*)
		_natctl_words "$(_natctl_forwards)"
		return
		;;
	backend:2:*)
		_natctl_backends "$prev"
		return
		;;
	backend:3:*)
		_natctl_words drain resume
		return
		;;
	explain:1:*)
		_natctl_words tcp udp icmp
		return
		;;
	explain:2:*)
		_natctl_words "$(_natctl_hosts)"
		return
		;;
	explain:4:*)
		_natctl_words in out
		return
		;;
	esac

	# "  -L  list [FILTER]   text": letters and names of the commands; "  -p, --proto PROTO   text": options.
	if [[ -z $command || $command = help ]]; then
		_natctl_words "$($ctl help 2>/dev/null | sed -n '/^Commands:/,/^$/p' |
			sed -nE 's/^ {2}(-[A-Z]| {2}) {2}([a-z-]+).*/\1 \2/p')" \
			"$([[ $command ]] || echo -h --help -j --json -o --output -s --socket -V --version)"
	else
		_natctl_words "$($ctl help "$command" 2>/dev/null | sed -nE 's/^ {2,6}(-.*)/\1/p' | sed -E 's/ {2,}.*//' |
			grep -oE -- '--?[a-z][a-z-]*')" --help
	fi
} &&
	complete -F _natctl natctl
