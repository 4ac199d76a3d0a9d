"""Ray: starting or joining it quietly, and what its nodes can run."""

from __future__ import annotations

import logging
import math
import os
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from textwrap import shorten
from typing import Any

from mmsr.errors import UserError
from mmsr.inner_names import free_resources, node_groups
from mmsr.study.workers import local_ray
from mmsr.study.workers.addresses import check_same, is_connected
from mmsr.study.workers.resources import Node, Resources

_NODES_SECONDS = 5.0
_WIDGETS = "ray.widgets"
"""Logger that says, when Ray is imported in a notebook, which widgets it lacks; none are used."""
_LOGGERS = ("ray", "ray.tune", "ray.train", _WIDGETS)
_MANY_NODES = 1000
"""Used in place of no limit, which an autoscaler writes as -1."""


@contextmanager
def _prepared_environment() -> Iterator[None]:
    """Keep Ray and Tune quiet and quick inside this context; Ray is to be imported inside it."""
    wanted = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "RAY_AIR_NEW_OUTPUT": "0",
        "RAY_DATA_LOG_LEVEL": "CRITICAL",  # an import itself reports what goes wrong
        "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # the study itself reports workers that died
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
        "TUNE_DISABLE_SIGINT_HANDLER": "1",
        "TUNE_GLOBAL_CHECKPOINT_S": "inf",  # the study's state is in Optuna's storage
        "TUNE_MAX_PENDING_TRIALS_PG": "1000",  # the search itself asks for no more than fit
        "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    }
    missing = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(missing)
    try:
        yield
    finally:
        for name, value in missing.items():
            if os.environ.get(name) == value:
                del os.environ[name]


@contextmanager
def ray_cluster(address: str | None) -> Iterator[bool]:
    """Be connected to Ray inside this context.

    If this process is already connected, that Ray is used and left as it is. Else a cluster is
    joined, or Ray is started on this machine, and left or stopped at the end.

    Parameters
    ----------
    address : the cluster to join; None starts Ray on this machine.

    Yields
    ------
    Whether this process was connected before, so that Ray goes on running.

    Raises
    ------
    UserError : this process is connected to another cluster, the cluster cannot be joined,
        `$RAY_AUTH_TOKEN_PATH` holds no token, or there is no folder for the session of Ray on this
        machine.
    OSError : Ray on this machine did not start.
    """
    if is_connected():
        check_same(address)
        with _prepared_environment(), _quiet(*_LOGGERS):
            yield True
        return
    local_ray.check_token_file()
    with _prepared_environment(), _joined_or_started(address):
        yield False


@contextmanager
def _joined_or_started(address: str | None) -> Iterator[None]:
    with warnings.catch_warnings(), _quiet(_WIDGETS):
        warnings.simplefilter("ignore")
        import ray
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if address is None:
                local_ray.start(cores())
            else:
                _join(address)
        with _quiet(*_LOGGERS):  # Ray has set their levels
            yield
    finally:
        with _quiet(*_LOGGERS):
            ray.shutdown()
            local_ray.forget()


@contextmanager
def _quiet(*names: str) -> Iterator[None]:
    """These loggers say nothing inside this context: the study itself reports what goes wrong."""
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _join(address: str) -> None:
    import ray
    from ray.exceptions import AuthenticationError

    try:
        ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
    except AuthenticationError:
        raise UserError(
            f"Ray at {address!r} wants its token: export RAY_AUTH_MODE=token, with the token in "
            "~/.ray/auth_token, or RAY_AUTH_TOKEN_PATH=FILE"
        ) from None
    except Exception as error:  # some of Ray's errors have no type of their own
        first = shorten(str(error).strip().partition("\n")[0], 120)
        raise UserError(f"Ray at {address!r} cannot be joined: {first}") from None


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0))


def check_resources(resources: Resources) -> None:
    """Refuse `resources` that no node could ever provide: Ray would wait for them forever.

    A growing cluster may not have such a node yet, so the nodes that its configuration lets it
    start count as well.

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
    """Refuse `resources` with more CPUs than this machine has, before Ray is started on it.

    Raises
    ------
    UserError : this machine has fewer.
    """
    if resources.cpu > cores():
        raise UserError(
            f"resources: a trial wants {resources}, and this machine has {cores()} CPU: ask for "
            "less in the study's resources, or join a cluster (--address)"
        )


class Capacity:
    """How many trials the cluster can run; nodes are counted again every few seconds.

    Parameters
    ----------
    resources : what each trial gets.
    """

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._counted: list[Node] = []
        self._room = 0
        self._asked = -_NODES_SECONDS

    def __call__(self) -> int:
        """How many trials fit, plus some to make a growing cluster grow.

        An autoscaler starts nodes for waiting trials, so as many may wait as run: the cluster
        doubles until it has reached its full size. At least one trial is always allowed.
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
    """What each living node of the cluster has."""
    import ray

    alive = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    return [_node(node["Resources"]) for node in alive]


def is_free(resources: Resources) -> bool:
    """Whether some node has `resources` that nobody is using now."""
    return any(resources.fit(_node(node)) for node in free_resources().values())


def startable_nodes() -> list[Node]:
    """What each kind of node has that the cluster's autoscaler may start; empty without one."""
    return [_node(group.resources) for group in _groups()]


def _groups() -> list[Any]:
    """The autoscaler's kinds of nodes, without those of which it may start none."""
    return [group for group in node_groups() if group.max_count != 0]


def _full_grown(resources: Resources) -> int:
    """How many trials fit on all nodes that the autoscaler may start; 0 without one."""
    groups = [(group.max_count, resources.fit(_node(group.resources))) for group in _groups()]
    return sum((most if most > 0 else _MANY_NODES) * each for most, each in groups)


def _node(resources: Mapping[str, float]) -> Node:
    return Node(
        resources.get("CPU", 0.0), resources.get("GPU", 0.0), resources.get("memory", math.inf)
    )
