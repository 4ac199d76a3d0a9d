"""Ray: starting or joining it quietly, and what its nodes can hold."""

from __future__ import annotations

import logging
import math
import os
import socket
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

from mmsr.errors import UserError
from mmsr.study.workers.resources import Node, Resources

_REACH_SECONDS = 5.0
_OBJECT_STORE_BYTES = 100_000_000
"""Trials pass no data through Ray: data sets are memory-mapped."""
_NODES_SECONDS = 5.0
_MANY_NODES = 1000
"""Stands for no limit, which an autoscaler writes as -1."""
_STARTS = 3
"""So often Ray is started: it gives itself 30 seconds, which a busy machine may need for others."""


def prepare_environment() -> None:
    """Keep Ray and Tune quiet and quick; before Ray is imported."""
    for name, value in {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "RAY_AIR_NEW_OUTPUT": "0",
        "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # the study itself tells of workers that died
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
        "TUNE_DISABLE_SIGINT_HANDLER": "1",
        "TUNE_GLOBAL_CHECKPOINT_S": "inf",  # the study's state is in Optuna's storage
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
            _connect(address)
        except Exception as error:  # some of Ray's are no more than that
            where = f"at {address!r} " if address else ""
            first = str(error).strip().partition("\n")[0]
            raise UserError(f"Ray {where}cannot be started or joined: {first}") from None
    for name in ("ray", "ray.tune", "ray.train"):  # the study tells of what goes wrong
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        ray.shutdown()


def _connect(address: str | None) -> None:
    import ray

    quietly: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address is not None:
        ray.init(address=address, **quietly)
        return
    for attempt in range(1, _STARTS + 1):
        try:
            with _in_groups_of_their_own():
                ray.init(
                    address="local",
                    num_cpus=cores(),
                    include_dashboard=False,
                    object_store_memory=_OBJECT_STORE_BYTES,
                    _node_ip_address="127.0.0.1",
                    **quietly,
                )
            return
        except Exception as error:
            if attempt == _STARTS or "timed out during startup" not in str(error):
                raise
            ray.shutdown()


@contextmanager
def _in_groups_of_their_own() -> Iterator[None]:
    """Start Ray's processes outside this process's group.

    A signal to the group (`kill -TERM -PID`, systemd, a batch system) would end Ray before the
    study could stop in good order: this process would wait for it in vain and fail. Ray's own
    processes still end with this one, however it ends.
    """
    from ray._private import services

    plain = services.ConsolePopen
    with patch.object(services, "ConsolePopen", partial(plain, process_group=0)):
        yield


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0))


def check_resources(resources: Resources) -> None:
    """Refuse what no node could ever run; Ray itself would wait for ever.

    A cluster that grows by itself may lack such a node yet: what its configuration lets it start
    counts as well.

    Raises
    ------
    UserError : no node has as much; says what each node has.
    """
    there, possible = nodes(), startable_nodes()
    if any(resources.fit(node) for node in (*there, *possible)):
        return
    have = "; ".join(sorted({str(node) for node in there}))
    more = "; ".join(sorted({str(node) for node in possible}))
    grows = f"; it can start nodes of: {more}" if more else ""
    raise UserError(
        f"resources: a trial wants {resources}, and no node of the cluster has that "
        f"(nodes: {have}{grows}): ask for less in the study's resources, or join another cluster"
    )


def check_this_machine(resources: Resources) -> None:
    """Refuse more CPUs than this machine has, before Ray is even started on it.

    Raises
    ------
    UserError : it has fewer.
    """
    if resources.cpu > cores():
        raise UserError(
            f"resources: a trial wants {resources}, and this machine has {cores()} CPU: ask for "
            "less in the study's resources, or join a cluster (--address)"
        )


class Capacity:
    """What the cluster can hold; nodes are counted again every few seconds."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._counted: list[Node] = []
        self._room = 0
        self._asked = -_NODES_SECONDS

    def __call__(self) -> int:
        """How many trials fit, and how many more a cluster that grows should hear of.

        An autoscaler starts nodes for trials that wait, so some do, up to as many as run: the
        cluster doubles until it is full-grown. At least one always may.
        """
        here = sum(self._resources.fit(node) for node in self._nodes())
        return max(1, here, min(2 * here, self._room))

    def lost(self) -> bool:
        """Whether no node is alive."""
        return not self._nodes()

    def _nodes(self) -> list[Node]:
        if time.monotonic() - self._asked > _NODES_SECONDS:
            self._asked = time.monotonic()
            self._counted = nodes()
            self._room = _full_grown(self._resources)
        return self._counted


def nodes() -> list[Node]:
    """What the nodes that are alive have."""
    import ray

    alive = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    return [_node(node["Resources"]) for node in alive]


def is_free(resources: Resources) -> bool:
    """Whether nobody uses so much of some node now."""
    from ray._private.state import available_resources_per_node

    free = available_resources_per_node()  # type: ignore[no-untyped-call]
    return any(resources.fit(_node(node)) for node in free.values())


def startable_nodes() -> list[Node]:
    """What the kinds of nodes have that the cluster's autoscaler may start; none without one."""
    return [_node(group.resources) for group in _groups()]


def _groups() -> list[Any]:
    """The autoscaler's kinds of nodes that it may have any of."""
    from ray._private.state import state

    config = state.get_cluster_config()
    groups = config.node_group_configs if config is not None else ()
    return [group for group in groups if group.max_count != 0]


def _full_grown(resources: Resources) -> int:
    """How many trials fit on all nodes that the autoscaler may have; 0 without one."""
    groups = [(group.max_count, resources.fit(_node(group.resources))) for group in _groups()]
    return sum((most if most > 0 else _MANY_NODES) * each for most, each in groups)


def _node(resources: Mapping[str, float]) -> Node:
    return Node(
        resources.get("CPU", 0.0), resources.get("GPU", 0.0), resources.get("memory", math.inf)
    )


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
