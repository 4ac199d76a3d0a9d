"""The language that all benchmarks share."""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mmsr.errors import UserError

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
KEYS = {"name", "command", "commit", "machine", "figures", "bars"}


@pytest.fixture(scope="module")
def common():
    spec = importlib.util.spec_from_file_location("benchmarks_common", BENCHMARKS / "common.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def machine(common):
    return common.machine(seconds=0.05)


def test_machine_measures_its_rates(machine):
    assert machine["gemm_fp32_gflops"] > 1
    assert machine["gemm_bf16_gflops"] > 0.1
    assert machine["cores"] >= 1
    assert machine["cpu"]


def test_bars(common):
    assert common.at_most(3, 2.9)["met"]
    assert not common.at_most(3, 3.1)["met"]
    assert common.at_least(0.9, 0.95)["met"]
    assert not common.at_least(0.9, 0.85)["met"]
    assert not common.at_most(3, float("nan"))["met"]


def test_written_result_has_all_keys_and_a_command_to_rerun(
    common, machine, monkeypatch, tmp_path, capsys
):
    file = tmp_path / "new" / "result.json"
    words = ["/somewhere/benchmarks/sorting.py", "--quick", "--json", str(file), "--size", "3"]
    monkeypatch.setattr(sys, "argv", words)
    bars = {"seconds": common.at_most(1.0, 2.0)}
    common.write("sorting", {"seconds": 2.0, "rows": 7}, bars, file, machine)
    result = json.loads(file.read_text())
    assert result.keys() == KEYS
    assert result["command"] == "python benchmarks/sorting.py --quick --size 3"
    assert result["figures"] == {"seconds": 2.0, "rows": 7}
    assert result["bars"] == {"seconds": {"limit": 1.0, "value": 2.0, "met": False}}
    assert "NO" in capsys.readouterr().out


def test_commit_marks_changed_code_but_not_new_results(common, monkeypatch, tmp_path):
    files = {name: tmp_path / "benchmarks" / name for name in ("results/a.json", "a.py")}
    files["results/a.json"].parent.mkdir(parents=True)
    for file in files.values():
        file.write_text("before")
    identity = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    for words in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "x"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    monkeypatch.setattr(common, "ROOT", tmp_path)
    clean = common.commit()
    assert len(clean) == 12
    files["results/a.json"].write_text("after")
    assert common.commit() == clean
    files["a.py"].write_text("after")
    assert common.commit() == clean + "+"


def test_options_that_every_benchmark_has(common):
    given = common.parser("Measure.").parse_args(["--quick", "--json", "x.json"])
    assert given == argparse.Namespace(quick=True, json=Path("x.json"))


def test_a_missing_data_set_says_where_it_was_looked_for(common, monkeypatch, tmp_path):
    monkeypatch.setenv("MMSR_HOME", str(tmp_path))
    monkeypatch.setattr(common, "DATA", tmp_path / "tables")
    with pytest.raises(UserError, match="mmsr data import toys"):
        common.import_if_missing("toys")


def test_no_benchmark_takes_the_result_of_a_run_for_an_exit_code():
    study_run = re.compile(r"\b(code|status)\b.*=\s*\w+\.run\(|if .*\bstudy\.run\(")
    scripts = [path for path in BENCHMARKS.glob("*.py") if study_run.search(path.read_text())]
    assert scripts == [], "a StudyResult is always true: use mmsr.study.main.execute"
