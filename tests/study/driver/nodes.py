"""A Ray cluster of several nodes on this machine, as a process of its own.

    python nodes.py NODES

The head has no CPUs, each other node has one. Prints a line of JSON: the address and the process
ids of the head's server and of the nodes; `add` on standard input adds a node and prints its
process id. The cluster ends with its standard input.
"""

from __future__ import annotations

import json
import sys

from ray.cluster_utils import Cluster

# Not 127.0.0.1, for which Ray would put this machine's outer address.
QUIET = {"node_ip_address": "127.0.0.2", "object_store_memory": 80_000_000}


def main(nodes: int) -> None:
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "include_dashboard": False, **QUIET},
    )

    def add() -> int:
        return raylet(cluster.add_node(num_cpus=1, **QUIET))

    tell(
        address=cluster.address,
        server=only(cluster.head_node, "gcs_server"),
        nodes=[add() for _ in range(nodes)],
    )
    for line in sys.stdin:
        if line.strip() == "add":
            tell(node=add())
    cluster.shutdown()


def raylet(node) -> int:
    return only(node, "raylet")


def only(node, kind: str) -> int:
    (info,) = node.all_processes[kind]
    return info.process.pid


def tell(**what) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
