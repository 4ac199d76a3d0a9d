"""What others may do with the project and how they cite it, as a built wheel and the files say."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import Distribution, PathDistribution
from pathlib import Path
from zipfile import Path as ZipPath
from zipfile import ZipFile

import pytest
import yaml

import mmsr

ROOT = Path(__file__).resolve().parent.parent
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TESTED_ON = ["Programming Language :: Python :: 3.11"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, built from a copy of the sources: building leaves files behind."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "mmsr", folder / "mmsr", ignore=shutil.ignore_patterns("__pycache__"))
    build = "from setuptools.build_meta import build_wheel; build_wheel('dist')"
    done = subprocess.run(
        [sys.executable, "-c", build], cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    (built,) = (folder / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def distribution(wheel: Path) -> Distribution:
    """The wheel's metadata."""
    return PathDistribution(ZipPath(wheel, f"mmsr-{mmsr.__version__}.dist-info/"))


def test_the_wheel_says_its_licence(distribution):
    metadata = distribution.metadata
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata.get_all("License-File") == ["LICENSE"]
    assert metadata["Author"] == "mmsr contributors"


def test_the_wheel_holds_the_licence(wheel, distribution):
    text = distribution.read_text("licenses/LICENSE")
    assert text == (ROOT / "LICENSE").read_text()
    assert text.split()[:4] == ["Apache", "License", "Version", "2.0,"]
    assert "END OF TERMS AND CONDITIONS" in text


def test_the_wheel_holds_the_package_and_nothing_beside_it(wheel):
    with ZipFile(wheel) as archive:
        tops = {name.partition("/")[0] for name in archive.namelist()}
    assert tops == {"mmsr", f"mmsr-{mmsr.__version__}.dist-info"}


def test_the_wheel_names_the_versions_of_python_that_tests_ran_on(distribution):
    assert distribution.metadata.get_all("Classifier") == TESTED_ON
    assert distribution.metadata["Requires-Python"] == ">=3.11"


def test_the_citation_names_project_and_paper():
    (paper,) = CITATION["references"]
    assert CITATION["cff-version"] == "1.2.0"
    assert CITATION["title"].startswith("mmsr: ")
    assert paper["type"] == "conference-paper"
    assert paper["title"] == (
        "Adaptive Multi-Modalities Fusion in Sequential Recommendation Systems"
    )
    assert [author["family-names"] for author in paper["authors"]] == ["Hu", "Guo", "Liu", "Kan"]
    assert (paper["conference"]["name"], paper["year"]) == ("CIKM 2023", 2023)


def test_the_citation_agrees_with_the_metadata():
    assert CITATION["version"] == mmsr.__version__
    assert CITATION["license"] == PROJECT["license"]
    assert CITATION["authors"] == PROJECT["authors"]


def test_the_citation_has_what_its_format_requires():
    assert CITATION.keys() >= {"cff-version", "message", "title", "authors"}
    for reference in CITATION["references"]:
        assert reference.keys() >= {"authors", "title", "type"}
