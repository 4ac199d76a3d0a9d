"""`mmsr data` as a user types it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mmsr.cli import app
from mmsr.cli.views.data import summary
from mmsr.data import Dataset
from mmsr.data.held_out import open_test
from mmsr.data.manifest import Dropped


@pytest.fixture
def rows_file(tmp_path: Path) -> Path:
    """A CSV of 240 interactions."""
    path = tmp_path / "rows.csv"
    lines = [f"u{u},i{(u * 5 + t * t) % 12},{t}" for u in range(30) for t in range(8)]
    path.write_text("\n".join(["user_id,item_id,timestamp", *lines]))
    return path


def mmsr_data(*arguments: object, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run `mmsr data …` in this process; the exit code."""
    monkeypatch.setattr(sys, "argv", ["mmsr", "data", *map(str, arguments)])
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit) as caught:
        app.main()
    return int(caught.value.code or 0)


def test_one_of_a_kind_is_left_out_in_the_singular(shop: Dataset) -> None:
    def told(count: int) -> str:
        dropped = Dropped(core_items=count, items_without_metadata=count)
        origin = shop.manifest.provenance.model_copy(update={"dropped": dropped})
        manifest = shop.manifest.model_copy(update={"provenance": origin})
        return summary("imported", "shop", manifest, ()).plain

    assert "left out: 1 item outside the" in told(1)
    assert "kept without metadata: 1 item\n" in told(1)
    assert "left out: 1,200 items outside the" in told(1200)
    assert "kept without metadata: 1,200 items\n" in told(1200)


def test_import_list_describe(
    rows_file: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    items = rows_file.with_name("items.tsv")
    items.write_text("item_id\ttitle\n" + "".join(f"i{i}\tred x{i % 3}y\n" for i in range(12)))
    command = ("import", "shop", "--interactions", rows_file, "--items", items)
    assert mmsr_data(*command, monkeypatch=monkeypatch) == 0
    out = capsys.readouterr().out
    assert "imported shop: 30 users, 12 items, 240 interactions" in out
    assert "ratio: 150 training, 30 validation and 30 test targets" in out
    assert "rows.csv: 240 rows read = 240 kept" in out
    assert "items.tsv: 12 rows read = 12 kept" in out
    assert mmsr_data(*command, monkeypatch=monkeypatch) == 0
    assert "shop is up to date" in capsys.readouterr().out
    # Neither command needs the histories, let alone the test part.
    for file in ("datasets/shop/development.arrow", "held-out/shop/test.arrow"):
        (home / file).unlink()
    assert mmsr_data("list", monkeypatch=monkeypatch) == 0
    assert "shop" in capsys.readouterr().out
    assert mmsr_data("describe", "shop", monkeypatch=monkeypatch) == 0
    out = capsys.readouterr().out
    for shown in (
        "240",
        "33.33%",
        "validation",
        "longest",
        "tf-idf + svd",
        "100.0%",
        "sha256",
    ):
        assert shown in out
    assert out.rstrip().endswith("no opening of test on record")


def test_describe_shows_openings_under_any_name(
    rows_file: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, protocol in (("shop", "ratio"), ("twin", "ratio"), ("other", "leave-one-out")):
        command = ("import", name, "--interactions", rows_file, "--protocol", protocol)
        assert mmsr_data(*command, monkeypatch=monkeypatch) == 0
    open_test(Dataset.open("twin"), who="mmsr study finalize", why="study s: trials 3, 5")
    capsys.readouterr()
    shown = {}
    for name in ("shop", "twin", "other"):
        assert mmsr_data("describe", name, monkeypatch=monkeypatch) == 0
        shown[name] = " ".join(capsys.readouterr().out.split())
    for name in ("shop", "twin"):
        assert "test was opened (UTC)" in shown[name]
        assert "mmsr study finalize" in shown[name]
        assert "trials 3, 5" in shown[name]
    assert ["(data set twin)" in text for text in shown.values()] == [True, False, False]
    assert shown["other"].endswith("no opening of test on record")


def test_a_list_moves_nothing_and_hides_nothing(
    rows_file: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("import", "shop", "--interactions", rows_file)
    assert mmsr_data(*command, monkeypatch=monkeypatch) == 0
    old = (home / "held-out/shop/test.arrow").rename(home / "datasets/shop/test.arrow")
    shutil.rmtree(home / "held-out")
    (home / "held-out").write_text("so that nothing can be moved")
    capsys.readouterr()
    assert mmsr_data("list", monkeypatch=monkeypatch) == 0
    said = capsys.readouterr()
    assert "shop" in said.out
    assert said.err == ""
    assert old.exists()
    (home / "datasets/shop/manifest.json").write_text("{")
    assert mmsr_data("list", monkeypatch=monkeypatch) == 0
    said = capsys.readouterr()
    assert "note: " in said.err
    assert "no data sets yet" not in said.out


def test_describe_says_since_when_openings_are_recorded(
    rows_file: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("import", "shop", "--interactions", rows_file)
    assert mmsr_data(*command, monkeypatch=monkeypatch) == 0
    (home / "held-out/shop/test.arrow").rename(home / "datasets/shop/test.arrow")
    shown = []
    for opens in (False, True):
        capsys.readouterr()
        assert mmsr_data("describe", "shop", monkeypatch=monkeypatch) == 0
        shown.append(" ".join(capsys.readouterr().out.split()))
        if not opens:
            open_test(Dataset.open("shop"), who="tests", why="an opening")
    assert "no opening of test on record until 20" in shown[0]
    assert "an opening until 20" in shown[1]
    assert all("earlier openings stand at most in the records of studies" in one for one in shown)


def test_empty_home_says_what_to_do(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert mmsr_data("list", monkeypatch=monkeypatch) == 0
    assert "run `mmsr data demo`" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["describe", "shop"], "unknown data set 'shop'"),
        (["import", "a/b", "--interactions", "ROWS"], "bad data set name 'a/b'"),
        (["import", "a", "--interactions", "nothing.csv"], "no such file: nothing.csv"),
        (["import", "a", "--interactions", "ROWS", "--protocol", "ration"], "did you mean 'ratio'"),
        (["import", "a", "--interactions", "ROWS", "--core", "0"], "--core is 0"),
        (["import", "a", "--interactions", "ROWS", "--features", "image"], "--features 'image'"),
        (["import", "a", "--interactions", "ROWS", "--features", "=x.csv"], "write NAME=VALUE"),
        (
            ["import", "a", "--interactions", "ROWS", "--features", "x=a.csv", "--features", "x=b"],
            "'x' is given twice",
        ),
        (["import", "a", "--interactions", "ROWS", "--columns", "user_id"], "--columns 'user_id'"),
        (["import", "a", "--interactions", "ROWS", "--text-from", "a,,b"], "--text-from 'a,,b'"),
        (
            ["import", "a", "--interactions", "ROWS", "--no-text", "--text-from", "title"],
            "contradict each other",
        ),
        (["demo", "--users", "3"], "users is 3"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: list[str],
    message: str,
    rows_file: Path,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = [str(rows_file) if part == "ROWS" else part for part in arguments]
    assert mmsr_data(*arguments, monkeypatch=monkeypatch) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1


def test_tables_that_contribute_little_are_noted_or_refused(
    rows_file: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    items = rows_file.with_name("articles.csv")
    command = ("import", "shop", "--interactions", rows_file, "--items", items)
    items.write_text("sku,name,price\n" + "".join(f"i{i},red x{i % 3}y,1\n" for i in range(12)))
    assert mmsr_data(*command, "--columns", "item_id=sku", monkeypatch=monkeypatch) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"error: {items} says nothing about its items: ")
    assert "other columns: name, price; --columns maps them" in error
    assert not (home / "datasets" / "shop").exists()
    mapped = "item_id=sku,title=name"
    assert mmsr_data(*command, "--columns", mapped, monkeypatch=monkeypatch) == 0
    said = capsys.readouterr()
    assert f"note: {items}: columns not used: price; known: title, description" in said.err
    assert "modalities: text (100.0% of items" in said.out


def test_errors_load_no_heavy_library(tmp_path: Path) -> None:
    code = (
        "import sys; from mmsr.cli import app\n"
        "sys.argv = ['mmsr', 'data', 'describe', 'nothing']\n"
        "try: app.main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'ray', 'mlflow', 'sklearn', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={"MMSR_HOME": str(tmp_path), "PATH": ""},
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_demo_is_generated_once(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("demo", "--name", "little", "--users", 60, "--items", 200, "--noise")
    assert mmsr_data(*command, monkeypatch=monkeypatch) == 0
    assert "generated little" in capsys.readouterr().out
    assert mmsr_data(*command, monkeypatch=monkeypatch) == 0
    assert "little is up to date" in capsys.readouterr().out
    assert mmsr_data("describe", "little", monkeypatch=monkeypatch) == 0
    out = capsys.readouterr().out
    assert "generated by: mmsr data demo" in out
    assert "noise" in out


def test_import_from_another_library(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "toys.txt"
    path.write_text(
        "".join(
            f"u{u} {' '.join(f'i{(u * 5 + t * t) % 12}' for t in range(8))}\n" for u in range(30)
        )
    )
    for said in ("toys.txt: 240 rows read = 240 kept", "toys is up to date"):
        assert mmsr_data("import", "toys", "--from", path, monkeypatch=monkeypatch) == 0
        assert said in capsys.readouterr().out
    command = ("import", "toys", "--from", path, "--protocol", "temporal", "--overwrite")
    assert mmsr_data(*command, monkeypatch=monkeypatch) == 2
    assert "the timestamps are positions" in capsys.readouterr().err
    assert Dataset.open("toys").manifest.protocol == "ratio", "what was there stays"
    assert mmsr_data("import", "toys", monkeypatch=monkeypatch) == 2
    assert "no interactions are given" in capsys.readouterr().err
    secret = "s3://key:hidden@bucket/rows.csv"
    command = ("import", "d", "--interactions", secret, "--features", f"image={secret}")
    assert mmsr_data(*command, monkeypatch=monkeypatch) == 2
    said = capsys.readouterr()
    assert "AWS_ACCESS_KEY_ID" in said.err
    assert "hidden" not in said.out + said.err


def test_import_with_encoders(
    rows_file: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    fakes = Path(__file__).resolve().parents[1] / "data" / "encoders"
    monkeypatch.syspath_prepend(fakes)
    monkeypatch.setenv("FAKE_LOG", str(rows_file.with_name("log")))
    photos = rows_file.with_name("photos")
    photos.mkdir()
    for i in range(11):
        Image.new("RGB", (3, 3), (i, 0, 0)).save(photos / f"i{i}.png")
    (photos / "i11.png").write_text("no image")
    items = rows_file.with_name("items.tsv")
    items.write_text("item_id\ttitle\n" + "".join(f"i{i}\tred {'a' * i}\n" for i in range(12)))
    command = ["import", "shop", "--interactions", rows_file, "--items", items]
    encoders = ["--text-encoder", "fakes:Words", "--image-encoder", "fakes:Colours"]
    assert mmsr_data(*command, *encoders, "--images", photos, monkeypatch=monkeypatch) == 0
    said = capsys.readouterr()
    assert "modalities: image (91.7% of items, 4 wide), text (100.0% of items, 4 wide)" in said.out
    assert "could not be encoded (see without_vectors.csv): 1 of image" in said.out
    assert "i11: i11.png no image" in said.err
    assert mmsr_data("describe", "shop", monkeypatch=monkeypatch) == 0
    assert "fakes:Colours (1)" in capsys.readouterr().out
    for wrong, message in (
        (["--images", photos], "--images needs an encoder"),
        (["--text-encoder", "minilm", "--no-text"], "contradict each other"),
        (["--image-encoder", "effcientnet-lite0"], "did you mean 'efficientnet-lite0'"),
    ):
        assert mmsr_data(*command, *wrong, monkeypatch=monkeypatch) == 2
        assert message in capsys.readouterr().err
