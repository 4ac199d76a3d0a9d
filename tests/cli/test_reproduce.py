"""`mmsr reproduce` as a user meets it, as far as nothing is run (see tests/reproduce)."""

from __future__ import annotations

import pytest


@pytest.fixture
def mmsr(shop, monkeypatch, capsys, tmp_path):
    """Run the command in this process; returns its exit code and what it said."""
    from mmsr.cli.app import main

    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr("mmsr.study.driver.run.ray_cluster", lambda _: pytest.fail("scheduled"))

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["mmsr", "reproduce", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        said = capsys.readouterr()
        return stop.value.code or 0, said.out, said.err

    return run


SHOP = ("--dataset", "shop")
BAD = {
    "table": (("table1", *SHOP), "unknown table or figure 'table1'"),
    "data set": (("table3", "--dataset", "shup"), "did you mean 'shop'?"),
    "row": (("table3", *SHOP, "--rows", "GCN,HAN-GMN"), "did you mean 'HAN-GNN'?"),
    "row of the other table": (("table4", *SHOP, "--rows", "GCN"), "unknown row of table4 'GCN'"),
    "no row": (("table3", *SHOP, "--rows", ","), "names no row"),
    "no seed": (("table3", *SHOP, "--seeds", "0"), "--seeds 0: give a whole number from 1 to 1000"),
    "no epoch": (("table3", *SHOP, "--epochs", "0"), "at least 1"),
    "varied key": (("table4", *SHOP, "--set", "model.type_embedding=true"), "differ in it"),
    "key": (("table3", *SHOP, "--set", "model.widht=8"), "did you mean 'model.width'?"),
    "selection": (("table3", *SHOP, "--select-on", "both"), "choose one of valid, test"),
    "codes": (("table3", *SHOP, "--set", "graph.n_codes=39"), "more than the 38 items"),
    "cpus": (("table3", *SHOP, "--cpus", "0"), "some cpu or gpu"),
    "address": (("table3", *SHOP, "--address", "127.0.0.1:9"), "nothing answers there"),
    "storage": (("table3", *SHOP, "--storage", "optuna.db"), "no database URL"),
    "row of models": (("table2", *SHOP, "--rows", "SASRek"), "did you mean 'SASRec'?"),
    "no trial": (("table2", *SHOP, "--trials", "0"), "--trials 0: "),
    "no seed of models": (("table2", *SHOP, "--seeds", "0"), "--seeds 0: give a whole number"),
    "equal": (("table2", *SHOP, "--equal", "epochs"), "choose one of trials, hours"),
    "nothing equal": (("table2", *SHOP, "--equal", ""), "choose one of trials, hours"),
    "seen": (("table2", *SHOP, "--set", "training.seen=masked"), "the table has both"),
    "models on test": (("table2", *SHOP, "--select-on", "test"), "are chosen on valid"),
    "a model's own key": (
        ("table2", *SHOP, "--rows", "SASRec,SR-GNN", "--set", "model.norm=post"),
        "models: sr_gnn: config: unknown config key 'model.norm'",
    ),
    "trials of no search": (
        ("table3", *SHOP, "--trials", "3"),
        "that is for table2, whose rows are searched",
    ),
    "equal of no search": (
        ("table4", *SHOP, "--equal", "hours"),
        "that is for table2, whose rows are searched",
    ),
    "tracking": (("table3", *SHOP, "--tracking-uri", "mlruns"), "http://HOST:PORT"),
}


@pytest.mark.parametrize(("arguments", "told"), BAD.values(), ids=BAD)
def test_bad_input_is_one_line_and_exit_code_2(mmsr, arguments, told):
    code, out, err = mmsr(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert told in err
    assert err.count("\n") == 1


def test_an_output_that_is_a_file_is_refused(mmsr, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = mmsr("table3", *SHOP, "--output", str(tmp_path / "file"))
    assert code == 2
    assert "is a file: name a folder" in err


@pytest.mark.parametrize("selection", ["valid", "test"])
def test_dry_run_shows_rows_seeds_and_budget(mmsr, selection):
    code, out, _ = mmsr(
        *("table3", *SHOP, "--rows", "gcn,hgat", "--seeds", "2", "--epochs", "5"),
        *("--set", "seed=7", "--select-on", selection, "--dry-run"),
    )
    assert code == 0
    assert "4 trials of at most 5 epochs" in out
    assert "seeds 7, 8" in out
    assert out.index("GCN") < out.index("HGAT")
    assert "7.07" in out
    assert ("TEST-SELECTED" in out) == (selection == "test")
    assert "nothing was scheduled" in out


def test_a_dry_run_refuses_what_a_run_would(mmsr, study_home, opened_study):
    from mmsr.reproduce.request import make_request
    from mmsr.study.planning.declaration import Options

    request = make_request("table3", "shop", n_seeds=1, options=Options(epochs=5))
    opened_study(request.plan)
    wanted = ("table3", *SHOP, "--rows", "gcn,hgat", "--seeds", "1", "--dry-run")
    code, _, err = mmsr(*wanted, "--epochs", "6")
    assert (code, err.count("\n")) == (2, 1)
    assert "training.epochs was 5 and is 6" in err
    code, out, _ = mmsr(*wanted, "--epochs", "5")
    assert code == 0
    assert "study table3-shop exists: resuming, 0 of 2 trials done" in out


def test_dry_run_of_models_shows_what_each_gets(mmsr, monkeypatch):
    monkeypatch.setattr("mmsr.study.views.dry_run.expect", lambda plan, console, left: {})
    code, out, _ = mmsr(
        *("table2", *SHOP, "--rows", "sasrec,gru4rec", "--trials", "3", "--epochs", "5"),
        "--dry-run",
    )
    assert code == 0
    assert "6 trials of at most 5 epochs" in out
    assert "3 trials for each" in out
    assert "after the search: 6 refits of the best trials of GRU4Rec, SASRec; then test is" in out
    assert out.index("search space of gru4rec") < out.index("search space of sasrec")
    assert "nothing was scheduled" in out
