"""What training a config costs, computed without training it: parameters and operations.

Both depend on shapes alone: the same config on the same data costs the same on every machine.
"""

from __future__ import annotations

import numpy as np
import torch

from mmsr.config import Config
from mmsr.data import Dataset
from mmsr.training.batching import bucketed_batches, examples_for
from mmsr.training.cost import measure_cost
from mmsr.training.step import new_model

PARAMETERS, OPERATIONS = "cost/parameters", "cost/epoch_operations"
_BATCHES = 8
"""Most batches that are measured, spread evenly over the history lengths."""


def epoch_cost(config: Config, dataset: Dataset) -> dict[str, float]:
    """Count the parameters of a config's model and the operations of one training epoch.

    Operations are those of matrix products, two a multiply-add, in the forward pass, loss and
    backward pass; validation is not counted. They are measured on a few batches, from short
    histories to long ones, and extrapolated to all.

    Parameters
    ----------
    config : what would be trained.
    dataset : the data set, whose training part is measured.

    Returns
    -------
    ``{"cost/parameters": …, "cost/epoch_operations": …}``.
    """
    if config.training.threads is not None:
        torch.set_num_threads(config.training.threads)
    model, most = new_model(config, dataset), config.graph.max_history
    examples = examples_for(model, dataset, "train", most)
    lengths = examples.lengths(most)
    batches = bucketed_batches(
        lengths, config.training.batch_size, np.random.default_rng(config.seed)
    )
    batches.sort(key=lambda rows: (float(lengths[rows].mean()), -len(rows)))
    measured = min(_BATCHES, len(np.unique(lengths)))
    places = (np.arange(measured) + 0.5) * len(batches) / measured
    chosen = [batches[place] for place in np.unique(places.astype(int))]
    parameters, operations, seen = 0, 0, 0
    for rows in chosen:
        histories, targets = (torch.from_numpy(array) for array in examples.batch(rows, most))
        parts = measure_cost(model, histories, targets, config)
        parameters = sum(part.parameters for part in parts)
        operations += sum(part.step for part in parts)
        seen += len(rows)
    return {
        PARAMETERS: float(parameters),
        OPERATIONS: float(round(operations * len(examples) / seen)),
    }
