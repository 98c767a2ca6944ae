"""Machines that are network namespaces here, on a network whose cables can be pulled."""

import contextlib
import random
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

from tests.cluster import Host

_PREFIX = 24


@dataclass(frozen=True)
class Machine:
    """A network namespace with one cable to the bridge that all share.

    Attributes:
        address: of its end of the cable.
        cable: the name of the bridge's end.
    """

    name: str
    address: str
    cable: str

    @property
    def host(self) -> Host:
        """As a place for a node of a cluster."""
        return Host(self.address, ("ip", "netns", "exec", self.name))


class Network:
    """A bridge, which this machine is on, too, and some machines."""

    def __init__(self) -> None:
        self._tag = secrets.token_hex(3)
        self._subnet = f"10.{random.randint(200, 250)}.{random.randint(1, 250)}"
        self._bridge = f"gr{self._tag}"
        self.machines: list[Machine] = []

    def add_machine(self) -> Machine:
        """Another one, with its cable plugged in."""
        number = len(self.machines) + 1
        name = f"gr{self._tag}-{number}"
        machine = Machine(name, f"{self._subnet}.{number}", f"gr{self._tag}.{number}")
        self.machines.append(machine)
        _ip("netns", "add", name)
        inner = ["name", "eth0", "netns", name]
        _ip("link", "add", machine.cable, "type", "veth", "peer", *inner)
        _ip("-n", name, "address", "add", f"{machine.address}/{_PREFIX}", "dev", "eth0")
        for device in ("lo", "eth0"):
            _ip("-n", name, "link", "set", device, "up")
        _ip("link", "set", machine.cable, "up")
        self.join(machine)
        return machine

    def cut(self, machine: Machine) -> None:
        """From now on nothing that it sends arrives, or is sent to it; it is told nothing of it."""
        _ip("link", "set", machine.cable, "nomaster")

    def join(self, machine: Machine) -> None:
        """Plug the cable in again."""
        _ip("link", "set", machine.cable, "master", self._bridge)

    @contextlib.contextmanager
    def up(self) -> Iterator["Network"]:
        """Make the bridge; afterwards nothing of the network is left."""
        try:
            _ip("link", "add", self._bridge, "type", "bridge")
            _ip("address", "add", f"{self._subnet}.254/{_PREFIX}", "dev", self._bridge)
            _ip("link", "set", self._bridge, "up")
            yield self
        finally:
            for machine in self.machines:
                _ip("link", "delete", machine.cable, check=False)
                _ip("netns", "delete", machine.name, check=False)
            _ip("link", "delete", self._bridge, check=False)


def why_not() -> str | None:
    """Why there can be no such network here; None if there can."""
    if shutil.which("ip") is None:
        return "there is no program `ip`"
    try:
        with Network().up() as network:
            machine = network.add_machine()
            ping = ["bash", "-c", f"exec 3<>/dev/tcp/{network._subnet}.254/9"]
            done = subprocess.run(
                [*machine.host.within, *ping],
                capture_output=True,
                text=True,
                timeout=10,
                check=False,
            )
            # nobody listens there, and says so
            return None if "refused" in done.stderr else f"no way through: {done.stderr.strip()}"
    except subprocess.CalledProcessError as error:
        return f"network namespaces are not permitted: {error.stderr.strip()}"
    except subprocess.TimeoutExpired:
        return "a firewall lets nothing through a bridge"


def _ip(*arguments: str, check: bool = True) -> None:
    subprocess.run(["ip", *arguments], check=check, capture_output=True, text=True)
