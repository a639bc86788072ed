# SPDX-License-Identifier: ISC
"""The loop of docs/kubernetes.md against recorded answers of the API: what natd's forwards become."""
import json
import os
import pathlib
import re
import subprocess

import pytest

from conftest import NATCTL
from netlab import Lab

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "kubernetes.md"
SERVICE = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "dns", "namespace": "kube-system"},
           "spec": {"clusterIP": "10.96.0.10", "ports": [{"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 5300},
                                                         {"name": "metrics", "port": 9153, "protocol": "TCP"}]}}


def endpoint(address, ready=True):
    return {"addresses": [address], "conditions": {"ready": ready, "serving": ready, "terminating": not ready},
            "nodeName": "node1", "targetRef": {"kind": "Pod", "name": f"pod-{address}"}}


def event(kind, name, *endpoints):
    return {"type": kind, "object": {
        "addressType": "IPv4", "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": name, "namespace": "kube-system", "labels": {"kubernetes.io/service-name": "dns"}},
        "endpoints": list(endpoints) or None,
        "ports": [{"name": "dns", "port": 5300, "protocol": "UDP"}]}}


@pytest.fixture
def follow(start_natd, tmp_path):
    """Runs the page's loop over these events, to their end; natd's forwards then."""
    natd = start_natd({})
    (tmp_path / "loop").write_text(re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S).group(1),
                                   encoding="utf-8")
    (tmp_path / "service").write_text(json.dumps(SERVICE), encoding="utf-8")
    (tmp_path / "kubectl").write_text(f"#!/bin/sh\ncase $4 in\nservice) cat {tmp_path}/service ;;\n"
                                      f"*) cat {tmp_path}/events ;;\nesac\n", encoding="utf-8")
    (tmp_path / "kubectl").chmod(0o755)
    (tmp_path / "natctl").symlink_to(NATCTL)

    def run(*events):
        (tmp_path / "events").write_text("".join(json.dumps(one, indent=4) + "\n" for one in events), encoding="utf-8")
        subprocess.run(["/usr/bin/python3", tmp_path / "loop"], check=True, timeout=60,
                       env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "NATD_SOCKET": natd.socket})
        return {f["name"]: f for f in natd.json("forwards")["forwards"]}

    run.natd = natd
    return run


def hosts(made):
    backends = made["kube-system.dns.53"].get("backends")
    return [b["host"] for b in backends] if backends else [f"{made['kube-system.dns.53']['to']['address']}:5300"]


def test_forwards_follow_the_endpoint_slices(lab, follow):
    one, two = (endpoint(address) for address in Lab.CLIENTS)
    made = follow(event("ADDED", "dns-a", one), event("ADDED", "dns-b", two))
    assert set(made) == {"kube-system.dns.53"} and made["kube-system.dns.53"]["side"] == "inside"
    assert hosts(made) == [f"{address}:5300" for address in Lab.CLIENTS]
    with lab.client.udp() as client, lab.clients[1].udp(port=5300) as pod:
        follow(event("MODIFIED", "dns-a", endpoint(Lab.CLIENTS[0], ready=False)), event("ADDED", "dns-b", two))
        client.sendto(b"query", ("10.96.0.10", 53))
        query, peer = pod.recvfrom(9)
        pod.sendto(b"answer", peer)
        assert (query, client.recvfrom(9)) == (b"query", (b"answer", ("10.96.0.10", 53)))
    assert follow(event("ADDED", "dns-a", one), event("DELETED", "dns-a", one)) == {}
