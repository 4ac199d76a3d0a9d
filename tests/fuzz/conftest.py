"""The fuzz harness: every input is counted, and `--fuzz-examples N` tries N times as many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings

PROFILE = settings(
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)
settings.register_profile("mmsr-fuzz", PROFILE)

_INPUTS: Counter[str] = Counter()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fuzz-examples",
        type=int,
        default=1,
        metavar="N",
        help="try N times as many inputs in tests/fuzz",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Bring the properties of this folder under the profile, and count their inputs."""
    times = config.getoption("--fuzz-examples", default=1)
    here, seen = Path(__file__).parent, set[int]()
    for item in items:
        test = getattr(item, "obj", None)
        # A method is made anew each time it is looked up; what it wraps is not.
        test = getattr(test, "__func__", test)
        if here in item.path.parents:
            item.add_marker("fuzz")
        if here not in item.path.parents or not hasattr(test, "hypothesis") or id(test) in seen:
            continue
        seen.add(id(test))
        inner = test.hypothesis.inner_test
        test.hypothesis.inner_test = _counted(inner, f"{item.path.name}::{inner.__name__}")
        own = getattr(test, "_hypothesis_internal_use_settings", None) or PROFILE
        test._hypothesis_internal_use_settings = settings(
            PROFILE, max_examples=times * own.max_examples
        )


def _counted(test: Callable[..., Any], name: str) -> Callable[..., Any]:
    @wraps(test)
    def counted(*args: Any, **kwargs: Any) -> Any:
        _INPUTS[name] += 1
        return test(*args, **kwargs)

    return counted


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if _INPUTS:
        terminalreporter.section("fuzzed")
        for name, inputs in sorted(_INPUTS.items()):
            terminalreporter.write_line(f"{inputs:7,}  {name}")
        terminalreporter.write_line(f"{_INPUTS.total():7,}  inputs in all")


@pytest.fixture(scope="module", autouse=True)
def empty_home(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A `$MMSR_HOME` and a folder to work in that hold nothing, so that no work can begin."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMSR_HOME", str(tmp_path_factory.mktemp("home")))
        patch.chdir(tmp_path_factory.mktemp("here"))
        yield
