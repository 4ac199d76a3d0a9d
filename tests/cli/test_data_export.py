"""`mmsr data export` as a user types it."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from mmsr.cli.app import app
from mmsr.data import Dataset
from mmsr.data.openings import openings
from mmsr.errors import UserError


@pytest.fixture
def shop_file(tmp_path: Path, home: Path) -> Path:
    """A CSV of 240 interactions, imported as `shop`."""
    path = tmp_path / "rows.csv"
    lines = [f"u{u},i{(u * 5 + t * t) % 12},{t}" for u in range(30) for t in range(8)]
    path.write_text("\n".join(["user_id,item_id,timestamp", *lines]))
    assert mmsr_data("import", "shop", "--interactions", path).exit_code == 0
    return path


def mmsr_data(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["data", *map(str, arguments)])


@pytest.mark.parametrize("to", ["recbole", "parquet", "rectools"])
def test_what_is_said(to: str, shop_file: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    done = mmsr_data("export", "shop", "--to", to, "--output", output)
    assert done.exit_code == 0
    assert f"exported shop to {output}: 30 users, 12 items" in done.stdout
    assert "interactions: 180 train, 30 valid\n" in done.stdout
    assert "test is not included and stays closed" in done.stdout
    assert f"how to read it: {output / 'README.md'}" in done.stdout
    assert openings(Dataset.open("shop")) == ()
    done = mmsr_data("export", "shop", "--to", to, "-o", output, "--with-test", "--overwrite")
    assert done.exit_code == 0
    assert "interactions: 180 train, 30 valid, 30 test\n" in done.stdout
    assert "opening test, which is on record" in done.stderr
    assert "its opening is on record: mmsr data describe shop" in done.stdout
    shown = " ".join(mmsr_data("describe", "shop").stdout.split())
    assert "mmsr data export" in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("shop", "--to", "csv"), "unknown format 'csv'"),
        (("shpo", "--to", "parquet"), "did you mean 'shop'"),
    ],
)
def test_bad_words(words: tuple[str, ...], message: str, shop_file: Path, tmp_path: Path) -> None:
    done = mmsr_data("export", *words, "--output", tmp_path / "out")
    assert isinstance(done.exception, UserError)
    assert message in str(done.exception)
    assert not (tmp_path / "out").exists()
