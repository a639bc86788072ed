#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""Takes the fix of each fault out of a copy of the tree, and expects that the fault's tests fail.

    mutate.py SOURCE BUILD [FAULT|REQUIREMENT...]      (make mutations, FAULTS="31 32")

The mutations are in mutations/*.txt. One is a paragraph:

    fault 31: ICMP errors about a segment already acknowledged are dropped
    in src/core/tcp/tcp_window.c
    - a line as it is in the source, indentation aside
    - and the next one; both together occur exactly once in that file
    + a line in their place
    unit check_tcp_forged test_5927_quoted_number_may_be_a_window_below_the_acknowledgement
    integration test_host.py test_fault_37_an_inside_host_does_not_play_the_outside
    script tests/check-version.sh

"requirement 5508-6: ..." likewise, for what an RFC or an issue asks for. Several "in" parts are one mutation. Each test that is named must pass before and fail with the mutation; a test that does
not is a test that is missing: the mutation "survived". "any" before a test: one of those marked so is enough.
Environment of a test: "integration test_x.py test_y NATD_STEERING=bpf". Lines with "#" are comments.

The copy is built in BUILD, incrementally. Integration tests take root. Exit status 1 when one survived.
"""
import collections
import glob
import os
import re
import shutil
import subprocess
import sys

Test = collections.namedtuple("Test", "kind where name env any")
HERE = os.path.dirname(os.path.abspath(__file__))


class Mutation:
    def __init__(self, title, place):
        self.title, self.place, self.edits, self.tests = title, place, [], []

    def about(self):
        """The number of the fault, or the id of the requirement."""
        return self.title.split()[1].rstrip(":")

    def order(self):
        return [int(n) for n in re.findall(r"\d+", self.about())], self.place


def parse(path):
    """The mutations in a file."""
    found = []
    with open(path, encoding="utf-8") as f:
        for n, line in enumerate(f, 1):
            line = line.rstrip("\n")
            word = line.split(" ", 1)[0]
            if not line.strip() or word.startswith("#"):
                continue
            if word in ("fault", "requirement"):
                found.append(Mutation(line, f"{os.path.basename(path)}:{n}"))
            elif word == "in":
                found[-1].edits.append((line.split(" ", 1)[1], [], []))
            elif word in ("-", "+"):
                found[-1].edits[-1][1 if word == "-" else 2].append(line[2:])
            else:
                words = line.split()
                one_of = words[0] == "any"
                kind, where, *rest = words[one_of:]
                if kind not in ("unit", "integration", "script") or not found:
                    sys.exit(f"{path}:{n}: not understood: {line}")
                env = dict(w.split("=", 1) for w in rest if "=" in w)
                name = next((w for w in rest if "=" not in w), "")
                found[-1].tests.append(Test(kind, where, name, tuple(env.items()), one_of))
    return found


def changed(text, old, new, path):
    """The text with those lines replaced; indentation of the old ones does not count."""
    lines = text.split("\n")
    want = [line.strip() for line in old]
    at = [i for i in range(len(lines) - len(want) + 1) if [x.strip() for x in lines[i:i + len(want)]] == want]
    if len(at) != 1:
        raise ValueError(f"{path}: {len(at)} places for \"{want[0]}\"")
    return "\n".join(lines[:at[0]] + new + lines[at[0] + len(want):])


class Tree:
    """A copy of the source, and its build."""

    def __init__(self, source, build):
        self.source, self.build = os.path.abspath(source), os.path.abspath(build)
        self.copy = os.path.join(self.build, "tree")

    def prepare(self):
        if os.path.exists(os.path.join(self.source, ".git")):
            files = subprocess.run(["git", "-C", self.source, "ls-files", "-z"], check=True, capture_output=True).stdout
        else:
            files = b"\0".join(os.fsencode(os.path.relpath(os.path.join(d, f), self.source))
                               for d, _, fs in os.walk(self.source) for f in fs)
        os.makedirs(self.copy, exist_ok=True)
        for name in filter(None, files.decode().split("\0")):
            come, go = os.path.join(self.source, name), os.path.join(self.copy, name)
            os.makedirs(os.path.dirname(go), exist_ok=True)
            with open(come, "rb") as f:
                data = f.read()
            if os.path.exists(go):
                with open(go, "rb") as f:
                    if f.read() == data:
                        continue
            shutil.copyfile(come, go)
            shutil.copymode(come, go)
        self.version()
        if not os.path.exists(os.path.join(self.copy, "configure")):
            self.call(["./autogen.sh"], self.copy)
        if not os.path.exists(os.path.join(self.build, "Makefile")):
            self.call([os.path.join(self.copy, "configure"), "-q", "--prefix=/usr", "--sysconfdir=/etc", "--disable-lto"])

    def version(self):
        with open(os.path.join(self.copy, ".dist-version"), "w", encoding="ascii") as f:
            f.write("0.0\n")

    def call(self, command, cwd=None):
        done = subprocess.run(command, cwd=cwd or self.build, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-4000:]}")

    def make(self, *targets):
        """None, or what make said when it failed."""
        for target in targets:  # two at once would both make the libraries
            done = subprocess.run(["make", "-s", f"-j{os.cpu_count()}", target], cwd=self.build, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True)
            if done.returncode:
                return done.stdout
        return None

    def targets(self, tests):
        out = []
        if any(t.kind == "integration" for t in tests):
            out += ["all", "tests/faults/libfault.so"]  # the tests run other programs from beside natd
        out += [f"tests/unit/{t.where}" for t in tests if t.kind == "unit"]
        return sorted(set(out))

    def fails(self, test):
        """Does the test fail? None: it did not run."""
        env = dict(os.environ, srcdir=self.copy, CK_DEFAULT_TIMEOUT="300", **dict(test.env))
        if test.kind == "script":
            done = subprocess.run(["sh", os.path.join(self.copy, test.where)], cwd=self.build, env=env, capture_output=True)
            return done.returncode not in (0, 77)
        if test.kind == "unit":
            done = subprocess.run([f"tests/unit/{test.where}"], cwd=self.build, env=env,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
            with open(os.path.join(self.copy, f"tests/unit/{test.where}.c"), encoding="utf-8") as f:
                known = re.search(rf"(START_TEST|SCENARIO)\({test.name}\b", f.read())
            return bool(re.search(rf":[FE]:[^:]*:{test.name}:", done.stdout)) if known else None
        env.update(NATD="./natd", NATCTL="./natctl", NATLAB="./natlab")
        done = subprocess.run([os.path.join(self.copy, "tests/integration/run"), test.where, "-k", test.name, "-x"],
                              cwd=self.build, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if re.search(rf"^(FAILED|ERROR) .*{test.name}", done.stdout, re.M):
            return True
        return False if re.search(r"^\d+ passed", done.stdout, re.M) else None


def try_one(tree, mutation, baseline):
    """How it went: "killed" or what is wrong."""
    needed = [t for t in mutation.tests if t not in baseline]
    wrong = tree.make(*tree.targets(mutation.tests)) if tree.targets(mutation.tests) else None
    if wrong:
        return f"the tree does not build: {wrong[-1000:]}"
    for t in needed:
        baseline[t] = tree.fails(t)
    if any(baseline[t] is not False for t in mutation.tests):
        return "fails or does not run without it: " + ", ".join(t.name or t.where for t in mutation.tests if baseline[t] is not False)
    kept = {}
    try:
        for path, old, new in mutation.edits:
            place = os.path.join(tree.copy, path)
            with open(place, encoding="utf-8") as f:
                text = f.read()
            kept.setdefault(place, text)
            with open(place, "w", encoding="utf-8") as f:
                f.write(changed(text, old, new, path))
        wrong = tree.make(*tree.targets(mutation.tests)) if tree.targets(mutation.tests) else None
        if wrong:
            return f"does not build: {wrong[-1000:]}"
        lives = [t for t in mutation.tests if not tree.fails(t)]
    except ValueError as e:
        return f"does not apply: {e}"
    finally:
        for place, text in kept.items():
            with open(place, "w", encoding="utf-8") as f:
                f.write(text)
    if any(t.any for t in mutation.tests) and not all(t in lives for t in mutation.tests if t.any):
        lives = [t for t in lives if not t.any]
    return "SURVIVED " + ", ".join(t.name or t.where for t in lives) if lives else "killed"


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    mutations = [m for path in sorted(glob.glob(os.path.join(HERE, "mutations", "*.txt"))) for m in parse(path)]
    if sys.argv[3:]:
        mutations = [m for m in mutations if m.about() in sys.argv[3:]]
    tree, baseline, bad = Tree(sys.argv[1], sys.argv[2]), {}, 0
    tree.prepare()
    for m in sorted(mutations, key=Mutation.order):
        if not m.edits or not m.tests:
            verdict = "has no change or no test"
        else:
            verdict = try_one(tree, m, baseline)
        bad += verdict != "killed"
        print(f"{verdict}: {m.place}: {m.title}", flush=True)
    faults = {m.about() for m in mutations if m.title.startswith("fault")}
    print(f"mutations: {len(mutations)} of {len(faults)} faults and some requirements, {len(mutations) - bad} killed, {bad} not")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
