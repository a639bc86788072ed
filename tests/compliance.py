#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""Makes docs/rfc-compliance.md out of docs/requirements.tsv and the names of the tests.

    tests/compliance.py [--results WIRE.json] [--out FILE] [--check]

A test belongs to a requirement when its name carries the id: test_4787_9_9a_hairpin... belongs to 4787-9 and
4787-9a, test_7857_2_1_... to 7857-2.1. A requirement that natd meets by having no such thing
("natd has none") needs no test; any other row without one is printed as "untested" and, with --check,
fails, as does a row that names a file or function that does not exist. WIRE.json is what tests/integration/wirekit.py leaves behind: requirement -> {"natd": ..., "nft": ...}.
The last line printed is the table's totals.
"""
import argparse
import json
import os
import re
import sys

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RFCS = {"4787", "5382", "5508", "7857", "6888", "6056", "3022", "1812", "1191", "1918", "6864", "5961"}


def ids_in(name, known=None):
    """Every requirement id that a test's name carries: of several numbers in a row as many as make one of `known` (all rows)."""
    known = known or {row[0] for row in rows()}
    found, tokens, i, rfc = set(), name.split("_"), 0, None
    while i < len(tokens):
        run = 0
        if tokens[i] in RFCS:
            rfc = tokens[i]
        else:
            while rfc and i + run < len(tokens) and re.fullmatch(r"\d{1,2}[a-z]?", tokens[i + run]):
                run += 1
            while run > 1 and f"{rfc}-{'.'.join(tokens[i:i + run])}" not in known:
                run -= 1
            if run:
                found.add(f"{rfc}-{'.'.join(tokens[i:i + run])}")
            else:
                rfc = None
        i += run or 1
    return found


def tests():
    """requirement id -> sorted names of the tests that carry it."""
    by_id, known = {}, {row[0] for row in rows()}
    pattern = re.compile(r"(?:START_TEST|SCENARIO)\((test_\w+)|^def (test_\w+)\(|^    def (test_\w+)\(", re.M)
    for folder in ("tests/unit", "tests/integration"):
        for name in sorted(os.listdir(os.path.join(TOP, folder))):
            if not name.endswith((".c", ".py")):
                continue
            with open(os.path.join(TOP, folder, name), encoding="utf-8") as f:
                text = f.read()
            for match in pattern.finditer(text):
                test = next(g for g in match.groups() if g)
                for rid in ids_in(test, known):
                    by_id.setdefault(rid, set()).add(f"{name.rsplit('.', 1)[0]}:{test}")
    return {k: sorted(v) for k, v in by_id.items()}


def rows():
    with open(os.path.join(TOP, "docs/requirements.tsv"), encoding="utf-8") as f:
        for line in f:
            if not line.startswith("#") and line.strip():
                yield (line.rstrip("\n").split("\t") + [""] * 5)[:5]


def dangling():
    """Lines of the table that name a file or a function of it that does not exist."""
    for rid, _, _, code, _ in rows():
        for path, functions in re.findall(r"(src/[\w/]+\.[ch])((?:,? \w+\(\))*)", code):
            path = os.path.join(TOP, path)
            if not os.path.exists(path):
                yield f"{rid}: {path} does not exist"
                continue
            with open(path, encoding="utf-8") as f:
                text = f.read()
            for name in re.findall(r"\w+(?=\(\))", functions):
                if not re.search(rf"\b{name}\(", text):
                    yield f"{rid}: {path} has no {name}()"


def verdict(rid, code, remark, known):
    if known.get(rid):
        return "met"
    if code == "-":
        return "not offered" if re.search(r"Not offered|later release|One setting|cannot be", remark) else "met without"
    return "untested"


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--results")
    p.add_argument("--out", default=os.path.join(TOP, "docs/rfc-compliance.md"))
    p.add_argument("--check", action="store_true")
    a = p.parse_args()
    wire = {}
    if a.results and os.path.exists(a.results):
        with open(a.results, encoding="utf-8") as f:
            wire = json.load(f)
    known, totals, untested = tests(), {}, []
    with open(a.out, "w", encoding="utf-8") as out:
        out.write(HEAD)
        for rid, strength, text, code, remark in rows():
            v = verdict(rid, code, remark, known)
            totals[v] = totals.get(v, 0) + 1
            if v == "untested":
                untested.append(rid)
            names = "<br>".join(f"`{t}`" for t in known.get(rid, [])) or "-"
            w = wire.get(rid, {})
            cells = (rid, strength, text, v, w.get("natd", ""), w.get("nft", ""), names, code, remark)
            out.write("| " + " | ".join(cells) + " |\n")
        out.write(BEYOND_HEAD)
        for name, text in BEYOND:
            w = wire.get(name, {})
            out.write(f"| {name} | {text} | {w.get('natd', '')} | {w.get('nft', '')} |\n")
    line = ", ".join(f"{n} {v}" for v, n in sorted(totals.items()))
    if untested:
        print("untested:", " ".join(untested))
    print(f"compliance: {sum(totals.values())} requirements: {line}")
    wrong = list(dangling())
    for text in wrong:
        print(text)
    return 1 if a.check and (untested or wrong) else 0


HEAD = """# Requirements of the RFCs, one by one

Made by `make compliance` from `docs/requirements.tsv` and the names of the tests; do not edit. "met" means that
at least one test whose name carries the id shows it; "met without" that natd has no such thing and needs none.
The columns "natd" and "nft" are what the tests on the wire gave for natd, with `tun.offload` and without, and for
nft masquerade in the same namespaces (empty: shown in-process only).

| id | strength | requirement | verdict | natd | nft | tests | code | remark |
|---|---|---|---|---|---|---|---|---|
"""

BEYOND_HEAD = """
# Beyond the RFCs, on the wire

| id | requirement | natd | nft |
|---|---|---|---|
"""

BEYOND = [
    ("L1", "no packet leaves with a private source, whatever is wrong with it"),
    ("L2", "the mapping stays the same when two hosts use one source port"),
    ("L3", "the sender gets an error when ports are exhausted, and no session ends"),
    ("L4", "an unsolicited SYN is met with silence"),
    ("L5", "hairpinning"),
    ("L6", "filtering is not by address and port"),
    ("L7", "no timer is below its RFC's least"),
    ("L8", "the quoted IP header's checksum is looked at"),
    ("L9", "an inside address cannot be reached from outside directly"),
    ("L10", "sources that are not inside are not translated"),
    ("C2-1", "no mapping takes a port of the host's own services (CVE-2021-3773)"),
    ("C2-3", "a forged reset ends and shortens nothing"),
    ("C2-4", "fragmentation needed counts only with a sequence number that was sent"),
    ("C2-12", "source routes go nowhere"),
    ("C2-13", "bytes behind the packet are not passed on"),
    ("C2-15", "a wrong checksum stays wrong"),
    ("C2-16", "LAND, and natd's own address as a source from outside"),
    ("C2-17", "martian and spoofed sources"),
    ("C2-20", "broadcast and multicast"),
    ("CVE-2019-5598", "an ICMP error's destination is the quoted source"),
]

if __name__ == "__main__":
    sys.exit(main())
