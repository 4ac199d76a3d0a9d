"""Addresses of Ray clusters: which one this process is connected to, and whether one answers."""

from __future__ import annotations

import socket
import sys

from mmsr.errors import UserError
from mmsr.study.workers import local_ray
from mmsr.urls import hidden_word

_REACH_SECONDS = 5.0


def is_connected() -> bool:
    """Whether this process is connected to Ray; Ray is not imported to find out."""
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())


def address_of_others() -> str | None:
    """Address of the Ray that this process is connected to, unless mmsr has started it."""
    if not is_connected() or local_ray.is_running():
        return None
    import ray

    return str(ray.get_runtime_context().gcs_address)


def check_address(address: str) -> None:
    """Refuse an `address` where nothing listens, within seconds; Ray would try for a minute.

    Raises
    ------
    UserError : it is not an address, or nothing answers there.
    """
    if address == "auto":
        return
    shown = hidden_word(address)
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        raise UserError(f"Ray's address {shown!r}: give auto, HOST:PORT or ray://HOST:PORT")
    try:
        socket.create_connection((host, int(port)), _REACH_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise UserError(
            f"Ray's address {shown!r}: nothing answers there ({error}): start Ray on that "
            "machine, or leave --address out (and RAY_ADDRESS unset) to run on this one"
        ) from None


def check_same(address: str | None) -> None:
    """Refuse an `address` that names another cluster than this process is connected to.

    Parameters
    ----------
    address : where Ray is to be; None takes any.

    Raises
    ------
    UserError : it is elsewhere.
    """
    import ray

    if address is None or address == "auto":
        return
    if address.startswith("ray://"):
        from ray.util.client import ray as client

        if client.is_connected():  # type: ignore[no-untyped-call]  # Ray's has no types
            return  # nothing says to which cluster
    here = ray.get_runtime_context().gcs_address
    if _numeric(address) != _numeric(here):
        raise UserError(
            f"this process is connected to Ray at {here}, not at {hidden_word(address)}: "
            "leave the address out (and RAY_ADDRESS unset), or call ray.shutdown() first"
        )


def _numeric(address: str) -> str:
    """The address HOST:PORT with the IP address of the host, where that can be found.

    This machine has the address that Ray calls it by, also where it is named by its loopback.
    """
    from ray.util import get_node_ip_address

    host, _, port = address.rpartition(":")
    try:
        number = socket.gethostbyname(host)
    except OSError:
        return address
    if number.startswith("127."):
        number = get_node_ip_address()  # type: ignore[no-untyped-call]  # Ray's has no types
    return f"{number}:{port}"
