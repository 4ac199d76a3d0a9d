"""The graph of one history from the definitions: sets and loops, no padding."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from mmsr.graph.batch import BatchGraph
from mmsr.graph.relations import BOTH, IN, NONE, OUT, SELF, cross_relation

Node = tuple[int, int]
"""Type and id."""


@dataclass(frozen=True)
class Graph:
    """Nodes, how they are related, and where they occur."""

    nodes: list[Node]
    relation: list[list[int]]
    """Relation id from the first node to the second."""
    positions: list[set[int]]
    """Where each node occurs, counted back from the end of the history."""
    n_types: int
    recency: list[tuple[int, int]]
    """Of each node, the latest position where it occurs, and its place among the nodes there."""

    def related(self, i: int) -> list[int]:
        """Nodes related to a node, itself included."""
        return [j for j in range(len(self.nodes)) if self.relation[i][j] != NONE]

    def neighbours(self, i: int) -> list[int]:
        """Nodes related to a node, without itself."""
        return [j for j in self.related(i) if j != i]

    def distance(self, i: int, j: int) -> int | None:
        """Steps of the shortest path; None where there is none."""
        reached, steps = {i}, 0
        while j not in reached:
            further = reached | {n for m in reached for n in self.related(m)}
            if further == reached:
                return None
            reached, steps = further, steps + 1
        return steps

    def path(self, i: int, j: int) -> list[int]:
        """Nodes of a shortest path, both ends included: from its end back, the latest ones."""
        nodes = [j]
        while nodes[-1] != i:
            steps = self.distance(i, nodes[-1])
            nearer = [n for n in self.neighbours(nodes[-1]) if self.distance(i, n) == steps - 1]
            nodes.append(min(nearer, key=lambda n: self.recency[n]))
        return nodes[::-1]


def as_graph(slots: list[list[Node]], n_types: int) -> Graph:
    """Graph of the nodes that stand at each position of a history, oldest first."""
    nodes = sorted({node for at in slots for node in at})
    steps = {(a, b) for before, after in pairwise(slots) for a in before for b in after}
    together = {(a, b) for at in slots for a in at for b in at}

    def relation(a: Node, b: Node) -> int:
        if a == b:
            return SELF
        if a[0] != b[0]:
            return cross_relation(a[0], b[0], n_types) if (a, b) in together else NONE
        there, back = (a, b) in steps, (b, a) in steps
        return BOTH if there and back else OUT if there else IN if back else NONE

    positions = [{back for back, at in enumerate(reversed(slots)) if node in at} for node in nodes]
    recency = [
        min((back, at.index(node)) for back, at in enumerate(reversed(slots)) if node in at)
        for node in nodes
    ]
    relations = [[relation(a, b) for b in nodes] for a in nodes]
    return Graph(nodes, relations, positions, n_types, recency)


def of_batch(graph: BatchGraph, row: int) -> tuple[Graph, list[int]]:
    """One graph of a batch without its padding, and where its nodes stand on the node axis."""
    places = graph.real_BN[row].nonzero().flatten().tolist()
    types = [t for t, size in enumerate(graph.sizes) for _ in range(size)]
    ids = torch.cat([block[row] for block in graph.ids]).tolist()
    relation = graph.relation_BNN[row].tolist()
    occurrence = graph.occurrence_BNL[row].numpy()
    at = [[] for _ in range(int(graph.lengths[row]))]
    for type_, slots in enumerate(graph.slots):
        for position, found in enumerate(at):
            found += [
                graph.block(type_).start + place
                for place in slots[row, position].tolist()
                if place >= 0
            ]
    return (
        Graph(
            nodes=[(types[i], ids[i]) for i in places],
            relation=[[relation[i][j] for j in places] for i in places],
            positions=[set(np.flatnonzero(occurrence[i]).tolist()) for i in places],
            n_types=len(graph.sizes),
            recency=[
                min((back, found.index(i)) for back, found in enumerate(at[::-1]) if i in found)
                for i in places
            ],
        ),
        places,
    )
