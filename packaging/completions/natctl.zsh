#compdef natctl
# SPDX-License-Identifier: ISC
# zsh completion for natctl(8): commands and options from `natctl help' itself, forwards and hosts from the natd that runs.

_natctl_commands()
{
	local -a found
	found=(${(f)"$(natctl help 2>/dev/null | sed -n '/^Commands:/,/^$/p' |
		sed -nE 's/^ {6}([a-z-]+)[^ ]*( [A-Z[][^ ]*)* {2,}(.*)/\1:\3/p; s/^ {2}-[A-Z] {2}([a-z-]+)( [A-Z[][^ ]*)* {2,}(.*)/\1:\3/p;
			s/^ {6}([a-z-]+) [^A-Z[].* {2}(.*)/\1:\2/p' | sort -u)"})
	_describe command found
}

_natctl_hosts()
{
	local -a found
	found=(${(f)"$(natctl $socket mappings 2>/dev/null | grep -oE '([0-9]+\.){3}[0-9]+' | sort -u)"})
	compadd -a found
}

_natctl_forwards()
{
	local -a found
	found=(${(f)"$(natctl $socket forwards 2>/dev/null | cut -d' ' -f1)"})
	compadd -a found
}

# _natctl_backends FORWARD
_natctl_backends()
{
	local -a found
	found=(${(f)"$(natctl $socket forwards 2>/dev/null | awk -v name="$1" '$1 == name && sub(/^backend=/, "", $2) { print $2 }')"})
	compadd -a found
}

_natctl()
{
	local command='' i
	local -a options socket

	for ((i = 2; i < CURRENT; i++)); do
		case ${words[i]} in
		-s|--socket)
			socket=(-s ${words[++i]})
			;;
		-o|--output) ((i++)) ;;
		-[LCSDFE]|[a-z]*)
			command=${words[i]}
			break
			;;
		esac
	done
	# Which argument of the command this is, options counted too.
	local argument=$((CURRENT - i))

	case ${words[CURRENT-1]} in
	-o|--output) compadd line table json save extended id mark timestamp; return ;;
	-p|--proto) compadd tcp udp icmp gre sctp esp; return ;;
	--state) compadd SYN_SENT SYN_SENT2 SYN_RECV ESTABLISHED FIN_WAIT CLOSE_WAIT LAST_ACK TIME_WAIT CLOSE; return ;;
	-u|--status) compadd SEEN_REPLY ASSURED UNSET; return ;;
	-e|--event-mask) compadd NEW UPDATE DESTROY MAPPING BLOCK BACKEND ALARM CONFIG REFUSED; return ;;
	-f|--family) compadd ipv4; return ;;
	--side) compadd inside outside both; return ;;
	--sort) compadd rate sessions ports; return ;;
	--forward) _natctl_forwards; return ;;
	-d|-r|-q|--orig-src|--src|--orig-dst|--dst|--reply-src|--reply-dst) _natctl_hosts; return ;;
	-w|--write|--socket|--config|--log) _files; return ;;
	-s)
		if [[ -n $command ]]; then _natctl_hosts; else _files; fi
		return
		;;
	esac
	# The words of a command itself.
	case $command:$argument:${words[CURRENT-1]} in
	forward:1:*) compadd add remove; return ;;
	forward:*:remove|backend:1:*) _natctl_forwards; return ;;
	backend:2:*) _natctl_backends ${words[CURRENT-1]}; return ;;
	backend:3:*) compadd drain resume; return ;;
	explain:1:*) compadd tcp udp icmp; return ;;
	explain:2:*) _natctl_hosts; return ;;
	explain:4:*) compadd in out; return ;;
	esac

	if [[ $command == help || ( -z $command && ${words[CURRENT]} != -* ) ]]; then
		_natctl_commands
	elif [[ -z $command ]]; then
		compadd -- -h --help -j --json -o --output -s --socket -V --version
	else
		options=(${(f)"$(natctl help $command 2>/dev/null | sed -nE 's/^ {2,6}(-.*)/\1/p' | sed -E 's/ {2,}.*//' |
			grep -oE -- '--?[a-z][a-z-]*')"})
		compadd -a -- options
	fi
}

_natctl "$@"
