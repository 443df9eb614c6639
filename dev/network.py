"""The engines' networks: one private /16 for this stack, a bridge for each engine, a way out.

dockerd's own firewall rules are off: a second engine would flush those of the first, and those of
an engine that is not ours. Published ports reach containers through docker-proxy on loopback.
"""

from __future__ import annotations

import ipaddress
import json
import subprocess
from pathlib import Path
from typing import Any

from places import MARK, STATE, StackError, say, system_path

CHAIN = f"FEASTFLOW-DEV-{MARK}"
CHOSEN = STATE / "network"
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
FORWARDING_BEFORE = STATE / "ip_forward"

# Each engine's third octets: its bridge's network, and the pool for networks that users create.
OCTETS = {"classic": (0, 64), "containerd": (1, 128)}


def bridge_name(store: str) -> str:
    """The interface of the engine's own bridge; 15 characters is the kernel's limit."""
    return f"ff-{MARK}-{store[:4]}"


def address_pool(store: str) -> str:
    """The range that the engine takes user-created networks from."""
    return f"{_prefix()}.{OCTETS[store][1]}.0/18"


def create_bridge(store: str) -> None:
    """Make the engine's bridge, and let what is behind it reach the outside."""
    name = bridge_name(store)
    if not Path(f"/sys/class/net/{name}").exists():
        _run("ip", "link", "add", name, "type", "bridge")
        _run("ip", "address", "add", f"{_prefix()}.{OCTETS[store][0]}.1/24", "dev", name)
    _run("ip", "link", "set", name, "up")
    _open_way_out()


def remove() -> None:
    """Remove every bridge in the stack's range, the firewall chains, and the forwarding."""
    if not CHOSEN.exists():
        return
    network = _network()
    for link in _ip_json("address"):
        ours = any(
            ipaddress.ip_address(address["local"]) in network
            for address in link["addr_info"]
            if address["family"] == "inet"
        )
        if ours and Path(f"/sys/class/net/{link['ifname']}/bridge").exists():
            _run("ip", "link", "delete", link["ifname"])
    for table, parent in (("nat", "POSTROUTING"), ("filter", "FORWARD")):
        if _iptables(table, "-S", CHAIN):
            _iptables(table, "-D", parent, "-j", CHAIN)
            _iptables(table, "-F", CHAIN)
            _iptables(table, "-X", CHAIN)
    if FORWARDING_BEFORE.exists():
        FORWARDING.write_text(FORWARDING_BEFORE.read_text())
        FORWARDING_BEFORE.unlink()


def _open_way_out() -> None:
    network = str(_network())
    forwarding_was_off = FORWARDING_BEFORE.exists() or FORWARDING.read_text().strip() == "0"
    rules = {
        ("nat", "POSTROUTING"): [["-s", network, "!", "-d", network, "-j", "MASQUERADE"]],
        ("filter", "FORWARD"): [
            ["-s", network, "-j", "ACCEPT"],
            ["-d", network, "-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED", "-j", "ACCEPT"],
            ["-d", network, "-j", "DROP"],
            # Where nothing was forwarded before, nothing but ours is from now on.
            *([["-j", "DROP"]] if forwarding_was_off else []),
        ],
    }
    for (table, parent), wanted in rules.items():
        if _iptables(table, "-S", CHAIN):
            continue
        if not _iptables(table, "-N", CHAIN):
            say("containers will reach this machine only: its kernel has no iptables")
            return
        for rule in wanted:
            _iptables(table, "-A", CHAIN, *rule)
        _iptables(table, "-I", parent, "-j", CHAIN)
    if FORWARDING.read_text().strip() == "0":
        FORWARDING_BEFORE.write_text("0\n")
        FORWARDING.write_text("1\n")


def _prefix() -> str:
    """The first two octets of the stack's range: chosen once, free of the machine's routes."""
    if not CHOSEN.exists():
        taken = [
            ipaddress.ip_network(route["dst"], strict=False)
            for route in _ip_json("route")
            if route["dst"] != "default"
        ]
        start = int(MARK, 16)
        candidates = (f"10.{200 + (start + step) % 56}" for step in range(56))
        for prefix in candidates:
            if not any(ipaddress.ip_network(f"{prefix}.0.0/16").overlaps(net) for net in taken):
                CHOSEN.write_text(prefix)
                break
        else:
            raise StackError(
                "Every range from 10.200.0.0/16 to 10.255.0.0/16 is routed on this machine.",
                f"Write the first two octets of a free one into {CHOSEN}, for example 172.30.",
            )
    return CHOSEN.read_text()


def _network() -> ipaddress.IPv4Network:
    return ipaddress.IPv4Network(f"{_prefix()}.0.0/16")


def _ip_json(what: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(_run("ip", "-json", "-4", what, "show"))
    return listed


def _iptables(table: str, *arguments: str) -> bool:
    argv = ["iptables", "--wait", "--table", table, *arguments]
    environ = {"PATH": system_path()}
    return not subprocess.run(argv, env=environ, capture_output=True, check=False).returncode


def _run(*argv: str) -> str:
    # A plain user's PATH lacks the folders of ip and iptables.
    environ = {"PATH": system_path()}
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StackError(
            f"{' '.join(argv)} failed: {done.stderr.strip()}",
            "Creating networks needs root and a kernel with bridges.",
        )
    return done.stdout
