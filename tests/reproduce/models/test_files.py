"""The files of table 2 alone are enough to go on with other rows, in any home."""

from __future__ import annotations

import io

import pytest

from mmsr.console import Console
from mmsr.errors import UserError
from mmsr.reproduce.collect import make_results
from mmsr.reproduce.kept import beside_kept, read_kept, write_results
from mmsr.reproduce.models.dry_run import show_search
from mmsr.reproduce.models.finals import make_finals
from mmsr.reproduce.models.run import failed_settings, reproduce_models
from mmsr.reproduce.models.search import make_search
from mmsr.reproduce.models.view import SHOWN, notes
from mmsr.reproduce.results import LineFigures, Results
from mmsr.study.driver.ledger import Ledger
from mmsr.study.driver.opening import open_study_of
from mmsr.study.planning.declaration import Options
from mmsr.study.planning.existing import find_existing
from mmsr.study.storage.database import open_storage
from mmsr.study.storage.progress import take_back

LINES = (
    LineFigures(
        label="popularity", kept=dict.fromkeys(SHOWN, 0.1), masked=dict.fromkeys(SHOWN, 0.2)
    ),
)


@pytest.fixture
def add_rows(table_of, tmp_path):
    """Search, refit and write rows in the present home; returns what the files then hold."""
    output = tmp_path / "tables"

    def add(*labels, lines=(), **options):
        made = table_of(labels=labels, output=output, **options)
        results = made.results.model_copy(update={"lines": lines}) if lines else made.results
        path, *_ = write_results(results, made.runs, output)
        return Results.model_validate_json(path.read_text())

    add.output = output
    return add


def of(results, label):
    return next(row for row in results.rows if row.label == label)


def test_rows_are_made_one_by_one_each_in_an_empty_home(add_rows, elsewhere):
    first = add_rows("SASRec", lines=LINES)
    elsewhere()
    second = add_rows("GRU4Rec")
    elsewhere()
    third = add_rows("MMSR")
    assert [row.label for row in third.rows] == ["GRU4Rec", "SASRec", "MMSR"]
    for results, label in ((first, "SASRec"), (second, "GRU4Rec")):
        then, now = of(results, label), of(third, label)
        for part in ("seeds", "mean", "std", "mean_masked", "search", "published"):
            assert getattr(now, part) == getattr(then, part)
        assert third.settings_of(now) == results.settings_of(then)
    assert third.lines == LINES
    assert third.best_baseline == "SASRec"
    assert of(third, "GRU4Rec").comparisons["hr@5"].significant
    assert of(third, "GRU4Rec").against_baseline["hr@5"].significant


def test_the_files_are_those_of_one_call_for_all_rows(add_rows, table_of, elsewhere):
    for label in ("SASRec", "GRU4Rec", "MMSR"):
        last = add_rows(label)
        elsewhere()
    at_once = table_of(labels=("GRU4Rec", "SASRec", "MMSR")).results
    for row in at_once.rows:
        other = of(last, row.label)
        for part in ("mean", "std", "mean_masked", "comparisons", "against_baseline"):
            assert getattr(other, part) == getattr(row, part), part
        assert last.settings_of(other) == at_once.settings_of(row)
        assert other.search.space == row.search.space


def test_a_row_with_enough_seeds_is_neither_searched_nor_refitted(add_rows, searched, elsewhere):
    before = add_rows("GRU4Rec", "SASRec")
    elsewhere()
    search = searched(labels=("GRU4Rec", "SASRec", "NOVA"), output=add_rows.output)
    assert search.plan.names == ("nova",)
    assert search.plan.trials == 2
    request = make_finals(search)
    assert {label for label, _ in request.runs} == {"NOVA"}
    kept, opened = read_kept(request, add_rows.output)
    assert {label for label, _ in kept} == {"GRU4Rec", "SASRec"}
    assert opened == before.test_opened


def test_nothing_is_run_when_the_files_have_all_rows(add_rows, searched, elsewhere, monkeypatch):
    before = add_rows("GRU4Rec", "SASRec", lines=LINES)
    elsewhere()
    monkeypatch.setattr("mmsr.reproduce.models.run.run_plan", lambda *_, **__: pytest.fail("ran"))
    search = searched(labels=("GRU4Rec", "SASRec"), output=add_rows.output)
    code, results, paths = reproduce_models(search, Console())
    assert (code, results) == (0, before)
    assert all(path.exists() for path in paths)


def test_a_row_that_another_machine_wrote_meanwhile_is_kept(add_rows, table_of, elsewhere):
    made = table_of(labels=("SASRec",), output=add_rows.output)
    elsewhere()
    add_rows("GRU4Rec")
    request = beside_kept(made.request, add_rows.output)
    kept, opened = read_kept(request, add_rows.output)
    results = make_results(request, {**made.runs, **kept}, [], opened)
    assert [len(row.finished) for row in results.rows] == [3, 3]
    assert [row.label for row in results.rows] == ["GRU4Rec", "SASRec"]


def test_a_row_that_never_ranked_test_is_replaced(add_rows, table_of, elsewhere, made_up):
    made = table_of(labels=("GRU4Rec", "SASRec"), output=add_rows.output)
    runs = {key: run for key, run in made.runs.items() if key[0] == "SASRec"}
    write_results(make_results(made.request, runs, [], made_up.opened), runs, add_rows.output)
    elsewhere()
    others = add_rows("NOVA")
    assert [len(row.finished) for row in others.rows] == [0, 3, 3]
    assert of(others, "GRU4Rec").search == of(made.results, "GRU4Rec").search
    made_up.values["gru4rec"] = 0.11
    try:
        replaced = add_rows("GRU4Rec")
    finally:
        made_up.values["gru4rec"] = 0.1
    assert of(replaced, "GRU4Rec").search.value == pytest.approx(0.11)
    assert [len(row.finished) for row in replaced.rows] == [3, 3, 3]


def test_a_tested_row_keeps_its_trial_whatever_is_found_later(add_rows, searched, made_up):
    before = add_rows("GRU4Rec", n_seeds=2)
    trial = of(before, "GRU4Rec").search.trial
    made_up.values["gru4rec"] = 0.9
    try:
        better = make_finals(searched(labels=("GRU4Rec",), trials=3))
    finally:
        made_up.values["gru4rec"] = 0.1
    assert [row.settings["trial"] for row in better.rows] != [trial]
    more = searched(labels=("GRU4Rec",), n_seeds=3, output=add_rows.output)
    assert not more.searches
    request = make_finals(more)
    assert [row.settings["trial"] for row in request.rows] == [trial]
    assert request.found["GRU4Rec"] == of(before, "GRU4Rec").search
    kept, _ = read_kept(request, add_rows.output)
    assert request.without(kept).plan.trials == 1


def test_more_trials_of_a_tested_row_are_refused(add_rows, searched):
    add_rows("GRU4Rec", "SASRec")
    with pytest.raises(UserError, match=r"GRU4Rec has ranked test after a search of --trials 2"):
        searched(labels=("GRU4Rec", "NOVA"), trials=3, output=add_rows.output)


def test_more_seeds_of_a_row_that_was_searched_elsewhere_are_refused(add_rows, searched, elsewhere):
    add_rows("GRU4Rec", n_seeds=2)
    elsewhere()
    with pytest.raises(UserError, match=r"has 2 seeds of GRU4Rec, .*--seeds 2"):
        searched(labels=("GRU4Rec", "NOVA"), n_seeds=3, output=add_rows.output)


OTHER = {
    "epochs": ({"epochs": 5}, r"training.epochs was 4 and is 5"),
    "patience": ({"settings": {"training.patience": 3}}, r"training.patience was \d+ and is 3"),
    "settings": ({"settings": {"training.batch_size": 16}}, r"--set training.batch_size was 32"),
}


@pytest.mark.parametrize(("other", "told"), OTHER.values(), ids=OTHER)
def test_rows_of_other_settings_are_refused(add_rows, searched, made_up, other, told):
    add_rows("GRU4Rec")
    given = {**other, "settings": {**made_up.settings, **other.get("settings", {})}}
    with pytest.raises(UserError, match=told):
        searched(labels=("NOVA",), output=add_rows.output, **given)


def test_a_models_own_setting_and_another_seed_leave_the_other_rows_alone(
    add_rows, searched, made_up
):
    add_rows("GRU4Rec")
    settings = {**made_up.settings, "model.heads": 2, "seed": 7}
    request = make_finals(searched(labels=("NOVA",), settings=settings, output=add_rows.output))
    assert request.seeds == (8, 9, 10)
    assert {label for label, _ in request.runs} == {"NOVA"}
    assert [row.label for row in request.table.rows] == ["GRU4Rec", "NOVA"]


def test_files_that_lack_means_are_refused_before_the_search(add_rows, searched):
    add_rows("GRU4Rec")
    (add_rows.output / "table2-shop.users.safetensors").unlink()
    with pytest.raises(UserError, match="lacks GRU4Rec"):
        searched(labels=("NOVA",), output=add_rows.output)


def test_trials_of_a_model_that_all_failed_are_retried(searched):
    search = searched(labels=("GRU4Rec", "NOVA"), failing=("nova",))
    plan, storage = search.plan, open_storage(search.plan.storage)
    retried = failed_settings(plan)
    assert len(retried) == 2
    found = find_existing(plan, storage, retried)
    assert found.nothing_to_do is None
    study = open_study_of(plan, storage)
    take_back(study, found.again)
    ledger = Ledger(study, plan.rules(retries=True), plan.folder.ray)
    assert ledger.reclaim() == 2
    assert [ledger.ask(runner).config.model.name for runner in "ab"] == ["nova", "nova"]
    assert failed_settings(searched(labels=("GRU4Rec", "NOVA"), name="all_well").plan) is None


def test_unequal_trials_are_noted(add_rows):
    add_rows("GRU4Rec")
    assert "give all the same --trials" in " ".join(notes(add_rows("NOVA", trials=1)))


def test_a_model_whose_trials_all_failed_keeps_its_row(searched, table_of):
    results = table_of(labels=("GRU4Rec", "NOVA"), failing=("nova",)).results
    row = of(results, "NOVA")
    assert (row.search.trials, row.search.finished, row.search.value) == (2, 0, None)
    assert row.published["hr@5"] > 0
    assert "NOVA: no trial finished: 2 failed, first error: out of memory" in " ".join(
        notes(results)
    )
    assert results.best_baseline == "GRU4Rec"
    with pytest.raises(UserError, match="no trial has finished"):
        make_finals(searched(labels=("NOVA",), failing=("nova",), trials=3, name="none"))


def test_a_dry_run_says_what_the_files_have_and_what_follows(
    add_rows, searched, elsewhere, monkeypatch
):
    add_rows("GRU4Rec")
    elsewhere()
    monkeypatch.setattr("mmsr.reproduce.models.dry_run.show_plan", lambda plan: None)
    text = io.StringIO()
    console = Console(file=text, width=300)
    show_search(searched(labels=("GRU4Rec", "NOVA"), output=add_rows.output), console)
    assert "has GRU4Rec: 3 seeds, not searched again" in text.getvalue()
    assert "after the search: 3 refits of the best trials of NOVA; then test" in text.getvalue()
    show_search(searched(labels=("GRU4Rec",), output=add_rows.output), console)
    assert "nothing to run, test stays closed" in text.getvalue()
    assert "nothing to search; dry run: nothing was scheduled" in text.getvalue()


def test_hours_are_not_shared_with_rows_of_another_call(add_rows, made_up):
    add_rows("GRU4Rec", "SASRec")
    with pytest.raises(UserError, match="what each model gets was the same number of trials"):
        make_search(
            "shop",
            rows=("NOVA",),
            trials=2,
            equal="hours",
            options=Options(epochs=4, settings=made_up.settings),
            output=add_rows.output,
        )
