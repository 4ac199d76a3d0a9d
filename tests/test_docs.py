"""The documentation holds: commands, options, files, links, Python blocks and error messages."""

from __future__ import annotations

import ast
import importlib.util
import json
import pkgutil
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest
import typer
import typer.main
import yaml
from typer.testing import CliRunner

import mmsr.study
from mmsr.cli.app import app
from mmsr.config import Config, parse_settings
from mmsr.data import DemoShop, ImportSettings, prepare, write_tables
from mmsr.errors import UserError
from mmsr.study import Study
from mmsr.study.planning.declaration import Options
from mmsr.study.planning.make_plan import make_plan

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/**/*.md"))
NOTEBOOKS = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/**/*.ipynb"))
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "cluster/README.md", "mlflow/README.md", *PAGES)
FENCE = re.compile(r"^([ ]*)```(\w*)[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
NOT_RUN = "<!-- compiled, not run -->"
"""Stands on the line before a Python block that only has to compile; all others are run."""
PLACEHOLDERS = {"KEY=VALUE", "model.aggregator.name=mine"}
_USAGE_ERROR = typer.BadParameter.__mro__[1]


def text_of(name: str) -> str:
    return (ROOT / name).read_text()


def blocks(text: str, *kinds: str) -> list[str]:
    """Fenced blocks of these kinds."""
    return [textwrap.dedent(code) for _, kind, code in FENCE.findall(text) if kind in kinds]


def inline(text: str) -> list[str]:
    """Code within sentences and tables."""
    return re.findall(r"`([^`\n]+)`", FENCE.sub("", text))


def words_of(line: str) -> list[str]:
    """Words of a command, without what precedes and follows it: VARIABLE=…, and &."""
    words = shlex.split(line, comments=True)
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        del words[0]
    return [word for word in words if word != "&"]


def whole_commands(text: str) -> list[list[str]]:
    """Commands of bash blocks, and what follows `$ ` in console blocks; continued lines joined."""
    lines = []
    for _, kind, code in FENCE.findall(text):
        code = textwrap.dedent(code)
        if kind == "bash":
            lines += code.replace("\\\n", " ").splitlines()
        elif kind == "console":
            lines += re.findall(r"^\$ (.*)$", code, re.MULTILINE)
    found = [words for line in lines if (words := words_of(line))]
    quoted = [words_of(word) for words in found for word in words if word.startswith("mmsr ")]
    return found + quoted


def commands(*, inline_too: bool) -> list[str]:
    """All commands of all documents."""
    found = set()
    for name in DOCUMENTS:
        found |= {shlex.join(words) for words in whole_commands(text_of(name))}
        if inline_too:
            found |= {code for code in inline(text_of(name)) if re.match(r"mmsr [^…]+$", code)}
    return sorted(found)


def problem(line: str, *, whole: bool = False) -> str | None:
    """What is wrong with an `mmsr …` line: a command, an option or, of a whole one, a value."""
    words = shlex.split(line)[1:]
    path, command = ["mmsr"], typer.main.get_command(app)
    while hasattr(command, "commands") and not "".join(words[:1]).startswith("-"):
        if not words or words[0] not in command.commands:
            return f"no command {' '.join([*path, *words[:1]])!r}"
        path.append(words.pop(0))
        command = command.commands[path[-1]]
    known = {option for parameter in command.params for option in options_of(parameter)}
    for word in words:
        name = word.partition("=")[0]
        if re.fullmatch(r"--?[a-z][a-z-]*", name) and name not in known | {"--help"}:
            return f"{' '.join(path)!r} has no option {name!r}"
    if whole and len(path) > 1 and "--help" not in words:
        try:
            command.make_context(path[-1], list(words))
        except _USAGE_ERROR as error:
            return error.format_message()
    return None


def options_of(parameter: object) -> list[str]:
    """An option in all its spellings; nothing for an argument."""
    names = [*parameter.opts, *getattr(parameter, "secondary_opts", [])]
    return [name for name in names if name.startswith("-")]


def settings_problem(words: list[str]) -> str | None:
    """What is wrong with `--set KEY=VALUE` of a command."""
    pairs = [value for option, value in pairwise(words) if option == "--set"]
    try:
        Config(dataset="any").replace(parse_settings([p for p in pairs if p not in PLACEHOLDERS]))
    except UserError as error:
        return str(error)
    return None


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"documented_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def script_problem(words: list[str], written: set[str]) -> str | None:
    """What is wrong with a command that runs a study or a benchmark, by the script's own parser.

    `written` are the scripts that other commands of the document write.
    """
    at = next((i for i, word in enumerate(words) if re.fullmatch(r"[\w/]+\.py", word)), None)
    if at is None or words[at] in written:
        return None
    named = "studies/toys.py" if words[at] == "FILE.py" else words[at]
    path, arguments = ROOT / named, words[at + 1 :]
    if not path.exists():
        return f"no file {words[at]}"
    if path.parent.name == "benchmarks":
        source = path.read_text() + (ROOT / "benchmarks" / "common.py").read_text()
        unknown = [w for w in arguments if w.startswith("--") and f'"{w}"' not in source]
        return f"{words[at]} has no option {unknown[0]}" if unknown else None
    if path.parent.name == "mlflow":
        known = f'"{arguments[0]}"' in path.read_text() and len(arguments) == 2
        return None if known else f"{words[at]} is not called so"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mmsr.study.main.execute", lambda study, options: 0)
        with pytest.raises(SystemExit) as stop:
            load(path).study.main(arguments)
    return f"{shlex.join(words)} is refused" if stop.value.code else None


def targets() -> set[str]:
    return set(re.findall(r"^([a-z][\w-]*):(?!=)", text_of("Makefile"), re.MULTILINE))


def make_problem(words: list[str]) -> str | None:
    missing = [w for w in words[1:] if "=" not in w and w != "TARGET" and w not in targets()]
    return f"make has no target {missing[0]}" if missing else None


def slug(heading: str) -> str:
    """Anchor of a heading, as MkDocs makes it."""
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", heading.lower()).strip())


def anchors(path: Path) -> set[str]:
    text = FENCE.sub("", path.read_text())
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {slug(heading) for heading in headings} | set(re.findall(r"^::: (\S+)", text, re.M))


def link_problems(name: str, text: str) -> Iterator[str]:
    for target, anchor in re.findall(r"\]\(([^)#:\s]*)#?([^):\s]*)\)", FENCE.sub("", text)):
        path = (ROOT / name).parent / target if target else ROOT / name
        if not path.exists():
            yield f"{name} links to {target}"
        elif anchor and anchor not in anchors(path):
            yield f"{name} links to {target}#{anchor}"


MMSR = [line for line in commands(inline_too=True) if line.startswith("mmsr ")]
WHOLE = commands(inline_too=False)


def test_the_documents_name_commands():
    assert len(MMSR) >= 40
    assert len(WHOLE) >= 60


@pytest.mark.parametrize("line", MMSR)
def test_command_exists(line):
    assert problem(line, whole=line in WHOLE) is None


@pytest.mark.parametrize("line", [w for w in WHOLE if "--set" in w])
def test_settings_exist(line):
    assert settings_problem(shlex.split(line)) is None


@pytest.mark.parametrize(
    "line",
    [
        "mmsr",
        "mmsr dat list",
        "mmsr data",
        "mmsr data lits",
        "mmsr train demo --sett a=b",
        "mmsr study leaderboard",
        "mmsr study leaderboard toys --top many",
    ],
)
def test_a_wrong_command_is_found(line):
    assert problem(line, whole=True) is not None


def test_a_wrong_setting_is_found():
    assert settings_problem(["mmsr", "train", "demo", "--set", "graph.n_coeds=3"]) is not None


@pytest.mark.parametrize("name", DOCUMENTS)
def test_scripts_and_targets_exist(name):
    found = whole_commands(text_of(name))
    found += [
        shlex.split(c)
        for c in inline(text_of(name))
        if re.match(r"(make|python|mmsr study new) [\w/.]+", c)
    ]
    written = {f"{words[3]}.py" for words in found if words[:3] == ["mmsr", "study", "new"]}
    for words in found:
        check = make_problem if words[0] == "make" else lambda w: script_problem(w, written)
        assert check(words) is None


@pytest.mark.parametrize(
    "line",
    [
        "python studies/tois.py",
        "python studies/toys.py --trails 3",
        "python studies/toys.py --trials many",
        "python studies/toys.py --sampler best",
        "ray submit cluster/cluster.yaml studies/beauty.py -- --trails 60",
        "python benchmarks/train_step.py --quik",
        "python first.py",
    ],
)
def test_a_wrong_script_is_found(line):
    assert script_problem(shlex.split(line), set()) is not None


def test_a_wrong_target_is_found():
    assert make_problem(["make", "dmeo"]) is not None


def leaves(command: object, path: str = "mmsr") -> Iterator[tuple[str, object]]:
    """All commands with their paths."""
    if not hasattr(command, "commands"):
        yield path, command
        return
    for name, sub in command.commands.items():
        yield from leaves(sub, f"{path} {name}")


def section(page: str, heading: str) -> str:
    """Text from a heading to the next one."""
    found = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#+ |\Z)", page, re.M | re.S)
    assert found, f"no section {heading!r}"
    return found[1]


def options_in(text: str) -> set[str]:
    """Options in the first column of a section's table."""
    cells = [line.split(" | ")[0] for line in text.splitlines() if line.startswith("| `-")]
    return {name for cell in cells for name in re.findall(r"`(--?[a-z][a-z-]*)", cell)}


def test_every_command_and_option_is_documented():
    page = text_of("docs/cli.md")
    for path, command in leaves(typer.main.get_command(app)):
        known = {option for parameter in command.params for option in options_of(parameter)}
        assert options_in(section(page, path)) == known - {"--help"}, path


def test_every_option_of_a_study_is_documented(capsys):
    with pytest.raises(SystemExit):
        load(ROOT / "studies" / "toys.py").study.main(["--help"])
    known = set(re.findall(r"^ +(?:-\w, )?(--[a-z-]+)", capsys.readouterr().out, re.MULTILINE))
    assert options_in(section(text_of("docs/cli.md"), "Study files")) == known - {"--help"}


def test_every_public_name_of_studies_has_its_docstring_shown():
    shown = set(re.findall(r"^::: mmsr\.study\.(\w+)", text_of("docs/api/study.md"), re.MULTILINE))
    assert shown == set(mmsr.study.__all__)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name):
    assert list(link_problems(name, text_of(name))) == []


def test_a_wrong_link_is_found():
    text = "[a](docs/studies.md) [b](docs/studeis.md) [c](docs/studies.md#pruner)"
    assert len(list(link_problems("README.md", text))) == 2


@pytest.mark.parametrize("name", DOCUMENTS)
def test_named_files_exist(name):
    tops = "mmsr|studies|tests|benchmarks|cluster|docs"
    named = [c for c in inline(text_of(name)) if re.fullmatch(rf"({tops})/[\w./-]+(\.\w+|/)", c)]
    strange = [c for c in named if not re.search(r"NAME|mine", c) and not (ROOT / c).exists()]
    assert strange == []


def test_the_navigation_has_every_page_once():
    def files(nav: object) -> Iterator[str]:
        if isinstance(nav, str):
            yield f"docs/{nav}"
        for part in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ():
            yield from files(part)

    made = [name.replace(".ipynb", ".md") for name in NOTEBOOKS]
    assert sorted(files(yaml.safe_load(text_of("mkdocs.yml"))["nav"])) == sorted([*PAGES, *made])


def test_the_architecture_names_every_room():
    page = text_of("docs/architecture.md")
    for parent in ("mmsr", "mmsr/study"):
        there = {f"{p.parent.relative_to(ROOT)}/" for p in (ROOT / parent).glob("*/__init__.py")}
        rows = re.findall(rf"^\| `({parent}/\w+/)` \|", page, re.MULTILINE)
        assert set(rows) == there
        assert len(rows) == len(there)


def test_the_readme_is_short():
    assert len(text_of("README.md").splitlines()) < 200


def python_blocks(text: str) -> list[tuple[str, bool]]:
    """Python blocks, and whether each is run."""
    return [
        (textwrap.dedent(found[3]), not text[: found.start()].rstrip().endswith(NOT_RUN))
        for found in FENCE.finditer(text)
        if found[2] == "python"
    ]


@pytest.fixture(scope="module")
def documented_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a small shop under each name that the documents use."""
    folder = tmp_path_factory.mktemp("documented")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMSR_HOME", str(folder / "home"))
        sources = write_tables(DemoShop(users=120, items=200), folder)
        for name in ("demo", "toys", "beauty"):
            prepare(name, sources, ImportSettings(core=2))
    return folder / "home"


WITH_PYTHON = [name for name in DOCUMENTS if python_blocks(text_of(name))]


@pytest.mark.parametrize("name", WITH_PYTHON)
def test_python_blocks(name, documented_home, tmp_path, monkeypatch):
    """Blocks of a page are run one after the other in one namespace, studies are only checked."""
    monkeypatch.setenv("MMSR_HOME", str(documented_home))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(ROOT / "studies")
    namespace: dict[str, object] = {"__name__": "documented"}
    for code, run in python_blocks(text_of(name)):
        compiled = compile(code, name, "exec")
        if not run:
            continue
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Study, "run", lambda study, options=None: None)
            exec(compiled, namespace)
        if isinstance(study := namespace.pop("study", None), Study):
            make_plan(study, Options())


def test_a_wrong_study_is_found(documented_home, monkeypatch):
    monkeypatch.setenv("MMSR_HOME", str(documented_home))
    for wrong in (Study(dataset="toys", trails=3), Study(dataset="toys", base={"model.widht": 8})):
        with pytest.raises(UserError):
            make_plan(wrong, Options())


@cache
def messages() -> list[re.Pattern[str]]:
    """All f-strings and texts of the code that are long enough to be a message."""
    found = []
    for path in (ROOT / "mmsr").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            parts = node.values if isinstance(node, ast.JoinedStr) else [node]
            texts = [p.value if isinstance(p, ast.Constant) else None for p in parts]
            said = [text for text in texts if isinstance(text, str)]
            if sum(map(len, said)) >= 12:
                whole = [".*" if text is None else re.escape(str(text)) for text in texts]
                found.append(re.compile("".join(whole)))
    return found


def said_by_the_code(line: str, known: list[re.Pattern[str]]) -> bool:
    """Whether a message is one of the code's, or one of `unknown`'s that the code builds."""
    text = re.sub(r"^error: (config: (model: )?)?", "", line)
    named = re.match(r"unknown [a-z ]+ '", text)
    return bool(named) or any(pattern.fullmatch(text) for pattern in known)


def test_error_messages_are_those_of_the_code():
    shown = "".join(blocks(text_of("docs/troubleshooting.md"), "text"))
    lines = [line for line in shown.splitlines() if line]
    known = messages()
    assert len(lines) >= 15
    assert [line for line in lines if not said_by_the_code(line, known)] == []
    assert not said_by_the_code("error: the shop is closed on Sundays, come again", known)


def sentences_of_output(text: str) -> list[str]:
    """Lines of shown output that say something: no tables, no settings, nothing shortened."""
    lines = "".join(blocks(text, "console", "text")).splitlines()
    said = [line for line in lines if not re.search(r"^\$ |^==>|^\s|n_codes|fusion|[│┃━─…]", line)]
    return [x for x in said if re.search(r"[:;,]", x) and len(re.findall(r"[a-z]{3,}", x)) >= 6]


def test_shown_output_is_that_of_the_code():
    """Whoever changes a message is reminded of the pages that show it."""
    known = [pattern for pattern in messages() if len(pattern.pattern) > 14]
    shown = {line for name in DOCUMENTS for line in sentences_of_output(text_of(name))}
    assert len(shown) >= 40
    assert [x for x in shown if not any(pattern.search(x) for pattern in known)] == []
    assert not any(pattern.search("the shop is closed: come again") for pattern in known)


def test_a_notebook_becomes_a_page():
    page = load(ROOT / "docs" / "notebook_pages.py").as_markdown
    code = {"cell_type": "code", "source": ["import mmsr\n", "mmsr.studies()"]}
    text = {"cell_type": "markdown", "source": ["# A title\n", "\n", "Words."]}
    assert page({"cells": [text, code]}, "a.ipynb") == (
        "# A title\n\nThis page is a notebook: [a.ipynb](a.ipynb).\n\nWords.\n\n"
        "```python\nimport mmsr\nmmsr.studies()\n```\n"
    )


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebooks_name_commands_that_exist(name):
    cells = json.loads(text_of(name))["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    for code in inline(text):
        assert not code.startswith("mmsr ") or problem(" ".join(code.split())) is None


def test_docstrings_are_rewritten_for_the_api_pages():
    pytest.importorskip("griffe")
    numpy_style = load(ROOT / "docs" / "house_docstrings.py").numpy_style
    given = "Do it.\n\nParameters\n----------\na : what.\n    More.\n\nReturns\n-------\nA sum."
    assert numpy_style(given) == (
        "Do it.\n\nParameters\n----------\na\n    what.\n    More.\n\n"
        "Returns\n-------\n:\n    A sum.\n"
    )


def test_names_without_a_page_are_explained_by_sections():
    pytest.importorskip("griffe")
    house = load(ROOT / "docs" / "house_docstrings.py")
    for name, words in house.EXPLAINED.items():
        assert pkgutil.resolve_name(name), name
        for page, anchor in re.findall(r"\]\((\w+)#([\w-]+)\)", words):
            assert anchor in anchors(ROOT / "docs" / f"{page}.md"), name
    given = "A name in `mmsr.data.splits.PROTOCOLS`, or `mmsr.data.Dataset`."
    assert "../protocols.md#how-histories-are-split" in house.explained(given)
    assert "PROTOCOLS" not in house.explained(given)
    assert house.explained(given).endswith("or `mmsr.data.Dataset`.")


def test_help_names_all_groups():
    shown = CliRunner().invoke(app, ["--help"]).output
    for name in ("data", "train", "study", "best-config", "reproduce", "model"):
        assert name in shown


@pytest.mark.slow
def test_the_tutorials_short_commands_run(home):
    short = [("data", "demo"), ("data", "list"), ("data", "describe"), ("model", "describe")]
    found = [w for w in whole_commands(text_of("docs/tutorial.md")) if tuple(w[1:3]) in short]
    assert {tuple(words[1:3]) for words in found} == set(short)
    for words in (["mmsr", "data", "demo"], *found):  # `make demo` has made the shop before
        small = ["--users", "200", "--items", "300"] if words[1:3] == ["data", "demo"] else []
        done = CliRunner().invoke(app, [*words[1:], *small])
        assert done.exit_code == 0, done.output


@pytest.mark.slow
def test_the_site_asks_nothing_of_other_hosts(tmp_path):
    pytest.importorskip("mkdocs")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=300)
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) >= len(PAGES)
    fetched = r'<(?:script|link|img)[^>]*(?:src|href)="?(?:https?:)?//'
    assert [page for page in pages if re.search(fetched, page.read_text())] == []
