# SPDX-License-Identifier: ISC
# fish completion for natctl(8): commands and options from `natctl help' itself, forwards and hosts from the natd that runs.

function __natctl_commands
    natctl help 2>/dev/null | sed -n '/^Commands:/,/^$/p' | sed -nE 's/^ {2}(-[A-Z]| {2}) {2}([a-z-]+).* {2}(.*)/\2\t\3/p'
end

# The command and what follows it.
function __natctl_command
    set -l words (commandline -opc)[2..-1]
    while set -q words[1]
        if contains -- $words[1] -s --socket -o --output
            set -e words[1]
        else if string match -qr '^(-[LCSDFE]|[a-z].*)$' -- $words[1]
            printf '%s\n' $words
            return 0
        end
        set -e words[1]
    end
    return 1
end

# Whether what is completed is this argument (a number) of this command; 0: any.
function __natctl_at
    set -l words (__natctl_command); or return 1
    test $words[1] = $argv[1]; and test $argv[2] -eq 0 -o (count $words) -eq $argv[2]
end

function __natctl_ask
    set -l words (commandline -opc)
    set -l at (contains -i -- -s $words; or contains -i -- --socket $words)
    # After a command -s is the address to look for.
    test -n "$at" -a "$at" -le 3; and natctl -s $words[(math $at + 1)] $argv 2>/dev/null; or natctl $argv 2>/dev/null
end

function __natctl_options
    natctl help (__natctl_command)[1] 2>/dev/null | sed -nE 's/^ {2,6}(-.*)/\1/p' | sed -E 's/ {2,}.*//' | grep -oE -- '--?[a-z][a-z-]*'
end

function __natctl_hosts
    __natctl_ask mappings | grep -oE '([0-9]+\.){3}[0-9]+' | sort -u
end

function __natctl_forwards
    __natctl_ask forwards | cut -d' ' -f1 | sort -u
end

# Of the forward that the command names.
function __natctl_backends
    __natctl_ask forwards | awk -v name=(__natctl_command)[2] '$1 == name && sub(/^backend=/, "", $2) { print $2 }'
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
complete -c natctl -n '__natctl_command >/dev/null' -l forward -x -a '(__natctl_forwards)'
for option in orig-src src orig-dst dst reply-src reply-dst
    complete -c natctl -n '__natctl_command >/dev/null' -l $option -x -a '(__natctl_hosts)'
end
for letter in s d r q
    complete -c natctl -n '__natctl_command >/dev/null' -s $letter -x -a '(__natctl_hosts)'
end
complete -c natctl -n '__natctl_at monitor 0' -s e -l event-mask -x -a 'NEW UPDATE DESTROY MAPPING BLOCK BACKEND ALARM CONFIG REFUSED'
complete -c natctl -n '__natctl_at capture 0' -l side -x -a 'inside outside both'
complete -c natctl -n '__natctl_at capture 0' -s w -l write -r -F
complete -c natctl -n '__natctl_at hosts 0' -l sort -x -a 'rate sessions ports'
complete -c natctl -n '__natctl_at help 0' -a '(__natctl_commands)'
complete -c natctl -n '__natctl_at forward 1' -a 'add remove'
complete -c natctl -n '__natctl_at forward 2; and contains -- remove (commandline -opc)' -a '(__natctl_forwards)'
complete -c natctl -n '__natctl_at backend 1' -a '(__natctl_forwards)'
complete -c natctl -n '__natctl_at backend 2' -a '(__natctl_backends)'
complete -c natctl -n '__natctl_at backend 3' -a 'drain resume'
complete -c natctl -n '__natctl_at explain 1' -a 'tcp udp icmp'
complete -c natctl -n '__natctl_at explain 2' -a '(__natctl_hosts)'
complete -c natctl -n '__natctl_at explain 4' -a 'in out'
