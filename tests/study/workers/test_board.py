"""The board where trials write how far they are; without Ray, but for its own messages."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from unittest.mock import Mock

import ray

from mmsr.finalize import training as finals
from mmsr.pace import Position, Seldom
from mmsr.reproduce import training as tables
from mmsr.study.workers import board
from mmsr.study.workers.board import Board, shown_board, written_to
from mmsr.study.workers.trial import _watched
from mmsr.training import Progress, train


def test_the_newest_position_of_each_trial_is_read_once():
    kept = Board()
    kept.write(3, Position(1, 0.1, None))
    kept.write(3, Position(1, 0.2, 9.0))
    kept.write(4, Position(2, 0.5, 8.0))
    assert kept.read() == {3: Position(1, 0.2, 9.0), 4: Position(2, 0.5, 8.0)}
    assert kept.read() == {}


def test_a_trial_writes_no_more_than_once_in_two_seconds(monkeypatch):
    actor = SimpleNamespace(write=SimpleNamespace(remote=Mock()))
    monkeypatch.setattr(board, "_find", lambda name: actor)
    times = iter([0.0, 1.0, 2.0, 2.5, 3.9, 4.0, 4.1])
    monkeypatch.setattr(board, "Seldom", lambda every: Seldom(every, lambda: next(times)))
    write = written_to("board", 5, epochs=2)
    for done in range(6):
        write(Progress(1, "train", done, 8))
    (number, position), _ = actor.write.remote.call_args
    assert (actor.write.remote.call_count, number, position.epoch) == (2, 5, 1)
    assert board.SECONDS >= 2


def test_a_trial_without_a_board_trains_all_the_same():
    written_to(None, 0, epochs=1)(Progress(1, "train", 1, 2))
    assert board._find(None) is None


def test_without_ray_there_is_no_board_and_none_is_started(monkeypatch):
    monkeypatch.setattr(board, "SECONDS", 0.01)
    assert not ray.is_initialized()
    shown, twice = [], threading.Event()

    def show(positions):
        shown.append(positions)
        if len(shown) == 2:
            twice.set()

    with shown_board(show) as name:
        assert name is None
        assert twice.wait(10), "piped output is told without a board, too"
    assert shown[0] == {}
    assert not ray.is_initialized()


def test_a_board_that_is_lost_ends_no_training(monkeypatch):
    remote = Mock(side_effect=ConnectionError)
    actor = SimpleNamespace(write=SimpleNamespace(remote=remote))
    monkeypatch.setattr(board, "_find", lambda name: actor)
    monkeypatch.setattr(board, "SECONDS", 0.0)
    write = written_to("board", 5, epochs=2)
    for done in range(3):
        write(Progress(1, "train", done, 8))
    assert remote.call_count == 1
    written_to("board", 5, epochs=2)("a trainer's own")


def test_all_trainers_tell_their_progress_and_a_users_own_need_not():
    def own(config, dataset, *, device, resume):
        """As `mmsr.study` asks for."""

    for trainer in (
        train,
        finals.refit,
        finals.reseed,
        tables.train_and_refit,
        tables.train_and_keep_epochs,
    ):
        assert _watched(trainer, print) == {"progress": print}
    assert _watched(own, print) == {}
