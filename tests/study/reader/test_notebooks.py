"""The notebooks of the documentation run, and a kernel outlives whatever its studies do."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

nbformat = pytest.importorskip("nbformat", reason="needs `pip install 'mmsr[dev]'`")
nbclient = pytest.importorskip("nbclient", reason="needs `pip install 'mmsr[dev]'`")
pytest.importorskip("ipykernel", reason="needs `pip install 'mmsr[dev]'`")

ROOT = Path(__file__).resolve().parents[3]
NOTEBOOKS = ("study", "results")
"""In the order in which they are read: the second one reads the study of the first."""
PATIENCE = 300
"""Most seconds of one cell."""


def client_of(notebook: object, folder: Path) -> nbclient.NotebookClient:
    """Runs a notebook in the interpreter of the tests."""
    where = {"metadata": {"path": str(folder)}}
    return nbclient.NotebookClient(
        notebook, kernel_name="python3", timeout=PATIENCE, resources=where
    )


def shown(notebook: object, kind: str) -> list[str]:
    """Everything of one type that a notebook shows."""
    return [
        output.data[kind]
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if kind in output.get("data", {})
    ]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_notebooks_are_kept_without_outputs(name):
    notebook = nbformat.read(ROOT / "docs" / "notebooks" / f"{name}.ipynb", 4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(code) > 5
    assert not any(cell.outputs or cell.execution_count for cell in code)


@pytest.mark.slow
def test_the_notebooks_run(home, tmp_path, monkeypatch, put_store):
    put_store(home / "mlflow.db")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for variable in ("RAY_ADDRESS", "MLFLOW_TRACKING_URI", "MMSR_STORAGE"):
        monkeypatch.delenv(variable, raising=False)
    done = {}
    for name in NOTEBOOKS:
        notebook = nbformat.read(ROOT / "docs" / "notebooks" / f"{name}.ipynb", 4)
        client_of(notebook, tmp_path).execute()
        assert not [
            output.text
            for cell in notebook.cells
            for output in cell.get("outputs", ())
            if output.output_type == "stream" and output.name == "stderr"
        ]
        done[name] = notebook
    pages = shown(done["study"], "text/html")
    table = [page for page in pages if "5 of 5 trials" in page and "★" in page]
    assert len(table) == 1, "one table, updated in place"
    assert "stops, resumable" not in table[0]
    assert any("study orders: finished" in page and "learning_rate" in page for page in pages)
    assert any("popularity" in page for page in shown(done["results"], "text/html"))
    assert [len(shown(done[name], "image/png")) for name in NOTEBOOKS] == [1, 2]
    assert (tmp_path / "best-of-orders.yaml").read_text().startswith("# Best config")


@pytest.fixture
def kernel(
    study_home: Path,
    tmp_path: Path,
    fake_training_code: str,
    monkeypatch: pytest.MonkeyPatch,
    put_store: Callable[[Path], None],
) -> Iterator[SimpleNamespace]:
    """A notebook whose trials only pretend to train: `run(code)` returns the outputs of a cell."""
    put_store(study_home / "mlflow.db")
    (tmp_path / "fake_training.py").write_text(fake_training_code)
    log = tmp_path / "epochs.log"
    monkeypatch.setenv("FAKE_LOG", str(log))
    monkeypatch.setenv("FAKE_EPOCH_SECONDS", "0.2")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(tmp_path)]))
    notebook = nbformat.v4.new_notebook()
    client = client_of(notebook, tmp_path)
    client.allow_errors = True

    def run(code: str) -> list[object]:
        notebook.cells.append(nbformat.v4.new_code_cell(code))
        client.execute_cell(notebook.cells[-1], len(notebook.cells) - 1)
        return notebook.cells[-1].outputs

    with client.setup_kernel():
        yield SimpleNamespace(run=run, log=log, pid=client.km.provisioner.pid)


def interrupt(pid: int, when: Callable[[], bool]) -> threading.Thread:
    """Presses the stop button of a notebook as soon as something is so."""
    given_up = threading.Event()

    def press() -> None:
        while not when() and not given_up.wait(0.1):
            pass
        os.kill(pid, signal.SIGINT)

    thread = threading.Thread(target=press, daemon=True)
    thread.give_up = given_up.set
    thread.start()
    return thread


SETUP = """
import ray
from mmsr.study import Int, Study
from mmsr.study.workers import local_ray

local_ray.start(2)  # stands for the user's `ray.init()`: this one is patient where cores are busy


def fake(name, trials, epochs):
    space = {"model.width": Int(40, 90, step=2)}
    trainer = "fake_training:train"
    return Study(dataset="shop", name=name, trials=trials, epochs=epochs, space=space,
                 trainer=trainer, enqueue=[], pruner=None)
"""


@pytest.mark.slow
def test_a_kernel_outlives_two_studies_a_stop_and_an_error(kernel):
    kernel.run(SETUP)
    kernel.run("one = fake('one', 2, 2).run()")
    (told,) = kernel.run("(one.ended.value, len(one.rows), ray.is_initialized())")
    assert told.data["text/plain"] == "('finished', 2, True)", "the Ray of before is left running"

    epochs = len(kernel.log.read_text().splitlines())
    stop = interrupt(kernel.pid, lambda: len(kernel.log.read_text().splitlines()) > epochs + 2)
    kernel.run("two = fake('two', 30, 100).run()")
    stop.give_up()
    (told,) = kernel.run("(two.ended.value, two.best_config, ray.is_initialized())")
    assert told.data["text/plain"] == "('interrupted', None, True)"
    (told,) = kernel.run("two")
    assert "<strong>study two: interrupted</strong>" in told.data["text/html"]

    (told,) = kernel.run("Study(dataset='shopp').run()")
    assert told.ename == "UserError"
    (line,) = told.traceback
    assert line.startswith("UserError: unknown data set 'shopp': did you mean 'shop'?")
    kernel.run("ray.shutdown()")
