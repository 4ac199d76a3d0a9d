"""`mlflow models serve` with an exported model: right answers, clear errors for bad requests."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmsr.evaluation.ranking import scoring
from mmsr.serving.exported.mlflow_model import DATA, save_mlflow_model
from mmsr.serving.exported.write import export_model
from mmsr.serving.recommender import Recommender

REQUESTS, MALFORMED = 500, 50
BAD_BODIES: list[Any] = [
    {"dataframe_records": [{"history": ["no such item"]}]},
    {"dataframe_records": [{"history": []}]},
    {"dataframe_records": [{"history": "i1"}]},
    {"dataframe_records": [{"history": [1, 2]}]},
    {"dataframe_records": [{"history": [None]}]},
    {"dataframe_records": [{"history": [["i1"], ["i2"]]}]},
    {"dataframe_records": [{"history": {"i1": ["i2", {"i3": []}]}}]},
    {"dataframe_records": [{"history": None}]},
    {"dataframe_records": [{"items": ["i1"]}]},
    {"dataframe_records": "i1"},
    {"dataframe_records": []},
    {"dataframe_split": {"columns": ["history"], "data": [[["i1"]], [7]]}},
    {"dataframe_split": {"data": [[[[[[["i1"]]]]]]]}},
    {"inputs": {"history": 7}},
    {"history": ["i1"]},
    {"dataframe_records": [{"history": ["i1"]}], "params": {"top": "many"}},
    {"dataframe_records": [{"history": ["i1"]}], "params": {"top": 0}},
    {"dataframe_records": [{"history": ["i1"]}], "params": {"top": -5}},
    {"dataframe_records": [{"history": ["i1"]}], "params": {"top": 10**9}},
    {"dataframe_records": [{"history": ["i1"]}], "params": {"top": 10**40}},
    {"dataframe_records": [{"history": ["i1"]}], "params": {"top": 2.5}},
    {"dataframe_records": [{"history": ["i1"]}], "params": {"top": [1, [2, [3]]]}},
    {"dataframe_records": [{"history": ["i1"]}], "params": {"unknown": "whatever"}},
    {"dataframe_records": [{"history": ["i1"]}], "params": [1, 2]},
    {},
    "i1",
    "{",
    '{"dataframe_records": [{"history": ["i1"]}]',
]


class Server:
    """`mlflow models serve` on a free port of this machine.

    Parameters
    ----------
    model : an MLflow model.
    """

    def __init__(self, model: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(model)]
        options = ["--env-manager", "local", "-h", "127.0.0.1", "-p", str(self.port)]
        beside = str(Path(sys.executable).parent)  # it starts uvicorn by name
        self.log = model.with_name("server.log")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, *options],
                env={**os.environ, "PATH": os.pathsep.join([beside, os.environ["PATH"]])},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait(self) -> None:
        """Wait until it answers."""
        for _ in range(600):
            if self.process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/ping", timeout=5):
                    return
            except OSError:
                time.sleep(0.2)
        pytest.fail(self.log.read_text())

    def ask(self, body: Any) -> tuple[int, Any]:
        """Status and answer to a request; text is sent as it is."""
        text = body if isinstance(body, str) else json.dumps(body)
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/invocations",
            text.encode(),
            {"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def stop(self) -> None:
        """Stop it and what it started."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait(timeout=60)


@pytest.fixture
def server(make_recommender: Any, tmp_path: Path) -> Iterator[tuple[Server, Recommender]]:
    """A served model, and the same model here."""
    recommender = make_recommender()
    export_model(recommender, tmp_path / DATA)
    save_mlflow_model(tmp_path / DATA, recommender, tmp_path / "mlflow")
    server = Server(tmp_path / "mlflow")
    try:
        server.wait()
        yield server, recommender
    finally:
        server.stop()


@pytest.mark.slow
def test_good_requests_are_answered_as_evaluation_scores_and_bad_ones_with_4xx(
    server: tuple[Server, Recommender],
) -> None:
    served, recommender = server
    rng = np.random.default_rng(0)
    bad = set(rng.choice(REQUESTS, MALFORMED, replace=False).tolist())
    statuses, errors = [], {}
    with scoring(recommender.model) as scorer:
        for number in range(REQUESTS):
            if number in bad:
                body = BAD_BODIES[len(errors) % len(BAD_BODIES)]
                status, answer = served.ask(body)
                statuses.append(status)
                errors[number] = (status, json.dumps(body)[:200], answer)
                continue
            lengths = rng.integers(1, 12, size=rng.integers(1, 4))
            rows = [rng.integers(0, 40, length) for length in lengths]
            top = int(rng.integers(1, 41))
            ids = [recommender.catalogue.ids_of(row).to_pylist() for row in rows]
            body = {
                "dataframe_records": [{"history": one} for one in ids],
                "params": {"top": top},
            }
            status, answer = served.ask(body)
            statuses.append(status)
            assert status == 200, answer
            for row, found in zip(rows, answer["predictions"], strict=True):
                scores = scorer.scores(torch.from_numpy(row)[None], torch.tensor([-1]))[0]
                best = scores.topk(top).values.numpy()
                np.testing.assert_allclose(found["scores"], best, rtol=1e-5, atol=1e-6)
                places = recommender.catalogue.find(found["item_ids"])
                of_items = scores[torch.from_numpy(places)].numpy()
                np.testing.assert_allclose(of_items, best, rtol=1e-5, atol=1e-6)
    wrong = {k: v for k, v in errors.items() if not 400 <= v[0] < 500 or "Traceback" in v[2]}
    assert not wrong
    assert statuses.count(200) == REQUESTS - MALFORMED
    unknown = next(v[2] for v in errors.values() if "no such item" in v[1])
    assert "unknown item 'no such item'" in json.loads(unknown)["message"]
