"""The kinds of failures, by what is told of them, and their summary."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from mmsr.study.views.ending import grouped
from mmsr.study.workers.failures import kind_of, out_of_memory


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("ValueError: width 13 brings bad luck", "raised"),
        ("KeyError: 'memory'", "raised"),
        ("valid/mrr@20 is nan", "not finite"),
        ("valid/mrr@20 is -inf", "not finite"),
        ("TrainingDiverged: the training loss became nan", "not finite"),
        ("worker died 3 times: The actor died unexpectedly", "worker died"),
        (
            "worker died 3 times: Task was killed due to the node running low on memory",
            "out of memory",
        ),
        ("worker died 3 times: torch.OutOfMemoryError: CUDA out of memory. Tried", "out of memory"),
        ("time limit: 2 hours were used up after epoch 3", "time limit"),
    ],
)
def test_kinds(error, kind):
    assert kind_of(error) == kind


def test_a_failed_allocation_is_told_from_other_errors():
    with pytest.raises(RuntimeError) as failed:
        torch.empty(1 << 55)
    assert out_of_memory(failed.value)
    assert out_of_memory(MemoryError())
    assert not out_of_memory(RuntimeError("size mismatch"))


def test_those_alike_are_told_together():
    rows = [
        SimpleNamespace(number=n, state=state, error=error)
        for n, state, error in [
            (0, "failed", "valid/mrr@20 is nan"),
            (1, "finished", None),
            (2, "failed", "ValueError: 17 is too much"),
            (5, "failed", "ValueError: 19 is too much"),
        ]
    ]
    assert [str(group) for group in grouped(rows)] == [
        "raised, trials 2, 5: ValueError: 17 is too much",
        "not finite, trial 0: valid/mrr@20 is nan",
    ]
