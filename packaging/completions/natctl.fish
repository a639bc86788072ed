# SPDX-License-Identifier: ISC
# fish completion for natctl(8): commands and options from `natctl help' itself, forwards and hosts from the natd that runs.

function __natctl_commands
    natctl help 2>/dev/null | sed -n '/^Commands:/,/^$/p' | sed -nE 's/^ {2}(-[A-Z]| {2}) {2}([a-z-]+)( [A-Z[][^ ]*)* {2,}(.*)/\2\t\4/p'
end

function __natctl_command
    for word in (commandline -opc)[2..-1]
        if string match -qr '^(-[LCSDFE]|[a-z].*)$' -- $word
            echo $word
            return 0
        end
    end
    return 1
end

function __natctl_options
    natctl help (__natctl_command) 2>/dev/null | sed -nE 's/^ {2,6}(-.*)/\1/p' | sed -E 's/ {2,}.*//' | grep -oE -- '--?[a-z][a-z-]*'
end

function __natctl_hosts
    natctl mappings 2>/dev/null | grep -oE '([0-9]+\.){3}[0-9]+' | sort -u
end

complete -c natctl -f
complete -c natctl -n 'not __natctl_command >/dev/null' -a '(__natctl_commands)'
complete -c natctl -n 'not __natctl_command >/dev/null' -s s -l socket -r -F -d 'control socket'
complete -c natctl -n 'not __natctl_command >/dev/null' -s V -l version -d 'print the version'
complete -c natctl -s h -l help -d help
complete -c natctl -s j -l json -d JSON
complete -c natctl -s o -l output -x -a 'line table json save extended id mark timestamp'
complete -c natctl -n '__natctl_command >/dev/null' -a '(__natctl_options)'
complete -c natctl -n '__natctl_command >/dev/null' -s p -l proto -x -a 'tcp udp icmp gre sctp esp'
complete -c natctl -n '__natctl_command >/dev/null' -l state -x -a 'SYN_SENT SYN_SENT2 SYN_RECV ESTABLISHED FIN_WAIT CLOSE_WAIT LAST_ACK TIME_WAIT CLOSE'
complete -c natctl -n '__natctl_command >/dev/null' -s u -l status -x -a 'SEEN_REPLY ASSURED UNSET'
complete -c natctl -n '__natctl_command >/dev/null' -l forward -x -a "(natctl forwards 2>/dev/null | cut -d' ' -f1)"
complete -c natctl -n '__natctl_command >/dev/null' -l orig-src -x -a '(__natctl_hosts)'
complete -c natctl -n '__natctl_command >/dev/null' -l orig-dst -x -a '(__natctl_hosts)'
complete -c natctl -n 'test (__natctl_command; or echo none) = help' -a '(__natctl_commands)'
