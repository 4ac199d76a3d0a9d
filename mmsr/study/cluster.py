"""Ray: starting or joining it quietly, and what its nodes can hold."""

from __future__ import annotations

import logging
import os
import socket
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from mmsr.errors import UserError
from mmsr.study.resources import Resources

_REACH_SECONDS = 5.0
_OBJECT_STORE_BYTES = 100_000_000
"""Trials pass no data through Ray: data sets are memory-mapped."""
_NODES_SECONDS = 5.0


def prepare_environment() -> None:
    """Keep Ray and Tune quiet and quick; before Ray is imported."""
    for name, value in {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "RAY_AIR_NEW_OUTPUT": "0",
        "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # the study itself tells of workers that died
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
        "TUNE_DISABLE_SIGINT_HANDLER": "1",
        "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
        "TUNE_MAX_PENDING_TRIALS_PG": "1000",  # the search itself asks for no more than fit
        "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    }.items():
        os.environ.setdefault(name, value)


@contextmanager
def ray_cluster(address: str | None) -> Iterator[None]:
    """Be connected to Ray: to the cluster at `address`, else to a local one for as long as this.

    Raises
    ------
    UserError : there is no cluster at the address.
    """
    prepare_environment()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import ray

        try:
            if address is None:
                ray.init(
                    address="local",
                    num_cpus=cores(),
                    include_dashboard=False,
                    object_store_memory=_OBJECT_STORE_BYTES,
                    logging_level=logging.ERROR,
                    log_to_driver=False,
                    _node_ip_address="127.0.0.1",
                )
            else:
                ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            where = f"at {address!r} " if address else ""
            first = str(error).strip().partition("\n")[0]
            raise UserError(f"Ray {where}cannot be started or joined: {first}") from None
    for name in ("ray", "ray.tune", "ray.train"):  # the study tells of what goes wrong
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        ray.shutdown()


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0))


def check_resources(resources: Resources) -> None:
    """Refuse what no node could ever run; Ray itself would wait for ever.

    Raises
    ------
    UserError : no node has as much; says what the nodes have.
    """
    nodes = _nodes()
    if not any(resources.fit(cpus, gpus) for cpus, gpus in nodes):
        have = "; ".join(sorted({f"{cpus:g} CPU, {gpus:g} GPU" for cpus, gpus in nodes}))
        raise UserError(
            f"resources: a trial wants {resources}, and no node of the cluster has that "
            f"(nodes: {have}): ask for less in the study's resources, or join another cluster"
        )


class Capacity:
    """What the cluster can hold; nodes are counted again every few seconds."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._counted: list[tuple[float, float]] = []
        self._asked = -_NODES_SECONDS

    def __call__(self) -> int:
        """How many trials fit; at least one, as the cluster may grow."""
        return max(1, sum(self._resources.fit(cpus, gpus) for cpus, gpus in self._nodes()))

    def lost(self) -> bool:
        """Whether no node is alive."""
        return not self._nodes()

    def _nodes(self) -> list[tuple[float, float]]:
        if time.monotonic() - self._asked > _NODES_SECONDS:
            self._asked = time.monotonic()
            self._counted = _nodes()
        return self._counted


def _nodes() -> list[tuple[float, float]]:
    """CPUs and GPUs of the nodes that are alive."""
    import ray

    nodes = ray.nodes()  # type: ignore[no-untyped-call]
    found = [node["Resources"] for node in nodes if node["Alive"]]
    return [(node.get("CPU", 0.0), node.get("GPU", 0.0)) for node in found]


def check_address(address: str) -> None:
    """Find out in seconds whether anything listens; Ray would try for a minute.

    Raises
    ------
    UserError : it is no address, or nothing answers there.
    """
    if address in ("auto", "local"):
        return
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        raise UserError(f"Ray's address {address!r}: give auto, HOST:PORT or ray://HOST:PORT")
    try:
        socket.create_connection((host, int(port)), _REACH_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise UserError(
            f"Ray's address {address!r}: nothing answers there ({error}): start Ray on that "
            "machine, or leave --address out (and RAY_ADDRESS unset) to run on this one"
        ) from None
