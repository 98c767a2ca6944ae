"""Clients of clusters, for commands: with a word where others could read the token on its way."""

from ganray.cli.screen import tell
from ganray.client.sweeps import SweepClient


def reach(address: str | None, *, insecure: bool = False) -> SweepClient:
    """A client of a cluster.

    Args:
        address: as in `SweepClient`.
        insecure: as in `SweepClient`.

    Raises:
        AddressError, TokenError: as in `SweepClient`.
    """
    client = SweepClient(address, insecure=insecure)
    if client.is_overheard:
        tell(
            f"note: the token goes to {client.address} in plain text; use https, `ray dashboard` "
            "or an SSH tunnel"
        )
    return client
