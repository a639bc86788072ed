#compdef natctl
# SPDX-License-Identifier: ISC
# zsh completion for natctl(8): commands and options from `natctl help' itself, forwards and hosts from the natd that runs.

_natctl_commands()
{
	local -a found
	found=(${(f)"$(natctl help 2>/dev/null | sed -n '/^Commands:/,/^$/p' |
		sed -nE 's/^ {6}([a-z-]+)[^ ]*( [A-Z[][^ ]*)* {2,}(.*)/\1:\3/p; s/^ {2}-[A-Z] {2}([a-z-]+)( [A-Z[][^ ]*)* {2,}(.*)/\1:\3/p')"})
	_describe command found
}

_natctl_hosts()
{
	local -a found
	found=(${(f)"$(natctl mappings 2>/dev/null | grep -oE '([0-9]+\.){3}[0-9]+' | sort -u)"})
	compadd -a found
}

_natctl()
{
	local command=${words[2]}
	local -a options found

	if (( CURRENT == 2 )); then
		if [[ ${words[CURRENT]} == -* ]]; then
			compadd -- -h --help -j --json -o --output -s --socket -V --version
		else
			_natctl_commands
		fi
		return
	fi
	case ${words[CURRENT-1]} in
	-o|--output) compadd line table json save extended id mark timestamp ;;
	-p|--proto) compadd tcp udp icmp gre sctp esp ;;
	--state) compadd SYN_SENT SYN_SENT2 SYN_RECV ESTABLISHED FIN_WAIT CLOSE_WAIT LAST_ACK TIME_WAIT CLOSE ;;
	-u|--status) compadd SEEN_REPLY ASSURED UNSET ;;
	-e|--event-mask) compadd NEW UPDATE DESTROY MAPPING BLOCK BACKEND ALARM CONFIG REFUSED ;;
	-f|--family) compadd ipv4 ;;
	--forward)
		found=(${(f)"$(natctl forwards 2>/dev/null | cut -d' ' -f1)"})
		compadd -a found
		;;
	-s|-d|-r|-q|--orig-src|--orig-dst|--reply-src|--reply-dst) _natctl_hosts ;;
	-w|--socket) _files ;;
	*)
		if [[ $command == help ]]; then
			_natctl_commands
		else
			options=(${(f)"$(natctl help $command 2>/dev/null | sed -nE 's/^ {2,6}(-.*)/\1/p' | sed -E 's/ {2,}.*//' |
				grep -oE -- '--?[a-z][a-z-]*')"})
			compadd -a -- options
		fi
		;;
	esac
}

_natctl "$@"
