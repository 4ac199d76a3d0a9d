"""Files of a home that several people share: the umask alone says who may read them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mmsr import paths
from mmsr.config import Config
from mmsr.data import Dataset
from mmsr.data.folders import replacing
from mmsr.study.results.rank_cache import KeptRanks
from mmsr.tracking.journal.position import COUNT, PositionFile
from mmsr.training import train


@pytest.fixture(params=[0o027, 0o002, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    """What new files keep from others."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def modes(folder: Path) -> set[str]:
    """The modes of all files below a folder, but for locks, which are left where they are."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"]
    assert files
    return {oct(path.stat().st_mode & 0o777) for path in files}


def test_caches_and_checkpoints(
    shop: Dataset, umask: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MMSR_HOME", str(tmp_path / "home"))
    tiny = {"model.width": 4, "graph.n_codes": 4, "training.epochs": 1, "training.threads": 1}
    (result,) = train(Config(dataset="shop").replace(tiny), shop)
    result.save_checkpoint(tmp_path / "run")
    assert modes(tmp_path / "run") == {oct(0o666 & ~umask)}
    assert modes(paths.codes_cache()) == {oct(0o666 & ~umask)}


def test_ranks(umask: int, tmp_path: Path) -> None:
    KeptRanks(tmp_path / "ranks", "model").get("nothing", lambda: np.arange(3))
    assert modes(tmp_path / "ranks") == {oct(0o666 & ~umask)}


def test_positions_of_journals(umask: int, tmp_path: Path) -> None:
    PositionFile(tmp_path, "here").write_written(1)
    assert oct((tmp_path / COUNT).stat().st_mode & 0o777) == oct(0o666 & ~umask)


def test_folders_of_data_sets(umask: int, tmp_path: Path) -> None:
    with replacing(tmp_path / "shop"):
        pass
    assert oct((tmp_path / "shop").stat().st_mode & 0o777) == oct(0o777 & ~umask)


def test_no_module_forgets_it() -> None:
    """These make files that only their owner can read."""
    root = Path(__file__).resolve().parent.parent
    sources = {path: path.read_text() for path in (root / "mmsr").rglob("*.py")}
    calls = 0
    for path, text in sources.items():
        lines = text.splitlines()
        for number, line in enumerate(lines):
            if "save_file(" in line:
                calls += 1
                assert "shared_as_usual(" in "".join(lines[number - 2 : number]), (path, number + 1)
    assert calls > 3
    makes = "mkstemp|mkdtemp|NamedTemporaryFile"
    assert {path.name for path, text in sources.items() if re.search(makes, text)} == {
        "folder.py",  # of exporters: the draft holds a folder that is as usual, and is renamed
        "checks.py",  # tries whether the home can be written, and leaves nothing
    }
