"""`resources="auto"`: one trial is measured, and trials are packed onto nodes accordingly.

Assumptions
-----------
- The measured trial has the most demanding settings of the space (`mmsr.study.sizing.worst_case`),
  so any trial fits where it does.
- Its memory is its peak of resident memory, mapped files and libraries included, plus a tenth.
  Trials on one node share the mapped part, so this errs on the safe side.
- A trial gets one CPU. If memory allows fewer trials than a node has CPUs, the CPUs are divided
  among those that fit, and threads follow.
- A GPU is shared by as many trials as fit in nine tenths of its memory, at most eight, and no more
  than there are CPUs for. All GPUs of the cluster are assumed to be like the measured one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from mmsr.errors import UserError
from mmsr.study.planning.plan import Plan
from mmsr.study.sizing.probe import Measured, Probe
from mmsr.study.workers.cluster import check_resources, nodes, startable_nodes
from mmsr.study.workers.resources import GB, Node, Resources

_MARGIN = 1.1
_DEVICE_SHARE = 0.9
_MOST_ON_ONE_GPU = 8


def settle(plan: Plan, say: Callable[[str], object]) -> Plan:
    """The plan with known resources that some node can provide; Ray must be running.

    Parameters
    ----------
    plan : the plan; its resources may still be "auto".
    say : called with a message before something that takes a while.

    Raises
    ------
    UserError : no node has what a trial needs, or the measured trial does not run.
    """
    if not plan.resources.auto:
        check_resources(plan.resources)
        return plan
    say("measuring one trial of the most demanding settings")
    possible = [*nodes(), *startable_nodes()]
    gpu = 1.0 if any(node.gpus >= 1 for node in possible) else 0.0
    measured = [
        Probe(plan.of_model(contender), None, gpu).measure(say) for contender in plan.contenders
    ]
    most = max(measured, key=lambda one: (one.device_memory or 0, one.memory))
    resources = pack(most, possible)
    say(f"each trial gets {resources}")
    return plan.with_resources(resources)


def pack(measured: Measured, possible: Sequence[Node]) -> Resources:
    """The resources of each trial that let as many as possible run at once, on every node.

    Parameters
    ----------
    measured : what one trial was measured to need.
    possible : the cluster's nodes, and those that it can start.

    Raises
    ------
    UserError : not even one trial fits.
    """
    memory = math.ceil(_MARGIN * measured.memory)
    fitting = [node for node in possible if node.memory >= memory and node.cpus >= 1]
    if measured.device_memory is not None and measured.device_total is not None:
        fitting = [node for node in fitting if node.gpus >= 1]
        by_memory = math.floor(_DEVICE_SHARE * measured.device_total / measured.device_memory)
    else:
        by_memory = 0
    if not fitting:
        have = "; ".join(sorted({str(node) for node in possible}))
        raise UserError(
            f"resources='auto': a trial of the most demanding settings takes {memory / GB:.2g} GB "
            f"of memory, and no node has that (nodes: {have}): narrow the space, or join another "
            "cluster"
        )
    if measured.device_memory is not None:
        by_cpus = min(math.floor(node.cpus / node.gpus) for node in fitting)
        sharing = max(1, min(by_memory, by_cpus, _MOST_ON_ONE_GPU))
        each = min(node.cpus / (sharing * node.gpus) for node in fitting)
        cpu = max(1, math.floor(each)) if each >= 1 else each
        return Resources(cpu=cpu, gpu=1 / sharing, memory=memory)
    at_once = [(node, min(node.cpus, node.memory / memory)) for node in fitting]
    cpu = min(math.floor(node.cpus / math.floor(count)) for node, count in at_once)
    return Resources(cpu=max(1, cpu), gpu=0.0, memory=memory)
