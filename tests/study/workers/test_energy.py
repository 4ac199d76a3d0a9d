"""Energy: a trial measures its own process, it adds up over resumed parts, nothing is guessed."""

from __future__ import annotations

import sys
from contextlib import suppress
from types import ModuleType, SimpleNamespace
from typing import ClassVar

import pytest
from pyarrow.fs import LocalFileSystem

from mmsr.config import Config
from mmsr.data.closed import TRIAL
from mmsr.errors import UserError
from mmsr.paths import home as home_folder
from mmsr.study.planning.declaration import Options
from mmsr.study.planning.make_plan import make_plan
from mmsr.study.workers.messages import Ending, Report, Task
from mmsr.study.workers.trial import REPORT_FILE, run_trial
from mmsr.tracking import RunState
from mmsr.tracking.energy import UNMEASURED, Energy, check_energy, metered


class Tracker:
    """Stands for CodeCarbon's: each look adds 0.5 kWh, 0.2 of them by a GPU, and 0.1 kg of CO2."""

    made: ClassVar[list[Tracker]] = []
    fails_at = 0
    """The look from which on it returns nothing, as CodeCarbon does with an error of its own."""
    processor: str | None = "a processor"

    def __init__(self, **given):
        self.given, self.looks, self.state = given, 0, "made"
        self.made.append(self)

    def start(self):
        self.state = "started"

    def get_detected_hardware(self):
        return {"cpu_model": self.processor}

    def flush(self):
        self.looks += 1
        if self.fails_at and self.looks >= self.fails_at:
            return
        n = self.looks
        total = SimpleNamespace(energy_consumed=0.5 * n, gpu_energy=0.2 * n, emissions=0.1 * n)
        for handler in self.given["output_handlers"]:
            handler.out(total, None)

    def stop(self):
        self.state = "stopped"


@pytest.fixture
def tracker(monkeypatch):
    """The package `codecarbon`, as far as it is used."""
    package, data = ModuleType("codecarbon"), ModuleType("codecarbon.input")
    package.OfflineEmissionsTracker = Tracker
    data.DataSource = lambda: SimpleNamespace(
        get_global_energy_mix_data=lambda: {"DEU": {}, "FRA": {}}
    )
    monkeypatch.setitem(sys.modules, "codecarbon", package)
    monkeypatch.setitem(sys.modules, "codecarbon.input", data)
    monkeypatch.setattr(Tracker, "made", [])
    return Tracker


@pytest.fixture
def absent(monkeypatch):
    """No package `codecarbon`, also where it is installed."""
    for name in ("codecarbon", "codecarbon.input"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.parametrize(
    ("given", "country"),
    [(None, None), (False, None), (True, ""), ("DEU", "DEU"), ("fra", "FRA")],
)
def test_what_is_measured_follows_from_what_was_given(tracker, given, country):
    assert check_energy(given) == country


@pytest.mark.parametrize("given", ["XX", "", "Germany", 3])
def test_what_is_no_country_is_refused(tracker, given):
    with pytest.raises(UserError, match="DEU"):
        check_energy(given)


@pytest.mark.parametrize("package", ["absent", "tracker"])
def test_a_study_is_refused_before_anything_is_scheduled(
    request, package, small_study, study_home, capsys
):
    request.getfixturevalue(package)
    with pytest.raises(SystemExit) as ended:
        small_study.main(["--energy", "DEUTSCHLAND"])
    assert ended.value.code == 2
    assert not (study_home / "studies").exists()
    told = capsys.readouterr().err
    assert ("pip install 'mmsr[energy]'" if package == "absent" else "unknown country") in told


def test_energy_is_no_part_of_what_a_study_is(tracker, small_study, study_home):
    plain = make_plan(small_study, Options())
    measured = make_plan(small_study, Options(energy="DEU"))
    assert (plain.energy, measured.energy) == (None, "DEU")
    assert plain.definition == measured.definition


def test_a_trial_has_its_share_of_a_gpu_and_adds_to_what_was_before(tracker):
    def figures(energy):
        return pytest.approx([energy.kwh, energy.co2_kg])

    with metered("", 0.25, None) as used:
        assert [used().kwh, used().kwh] == pytest.approx([0.35, 0.7])
        assert used().co2_kg is None
    with metered("DEU", 2, None) as used:
        assert figures(used()) == [0.5, 0.1]
    with metered("DEU", 0, Energy(10.0, 3.0)) as used:
        assert figures(used()) == [10.3, 3.06]
    with metered("DEU", 0, Energy(10.0)) as used:
        assert used().co2_kg is None, "that of the first part is not known"
    with suppress(ZeroDivisionError), metered("", 0, None):
        raise ZeroDivisionError
    assert [one.state for one in tracker.made] == ["stopped"] * 5


def test_nothing_is_left_to_the_settings_of_a_user(tracker):
    with metered("", 0, None):
        (one,) = tracker.made
    reach_out = ("output_methods", "emissions_endpoint", "electricitymaps_api_token")
    assert not any(one.given[name] for name in reach_out)
    assert (one.given["tracking_mode"], one.given["force_mode_cpu_load"]) == ("process", True)


@pytest.mark.parametrize(
    ("country", "before", "known"),
    [
        (None, None, UNMEASURED),
        (None, Energy(1.0), UNMEASURED),
        ("DEU", UNMEASURED, Energy(lacking="the training began without --energy")),
        ("DEU", Energy(lacking="no counter"), Energy(lacking="no counter")),
    ],
)
def test_what_is_not_known_whole_is_not_recorded(tracker, country, before, known):
    with metered(country, 0, before) as used:
        assert used() == known
    assert tracker.made == []


@pytest.fixture
def trial(shop, monkeypatch, tmp_path):
    """Runs a trial of two epochs; returns its reports."""
    monkeypatch.setenv(TRIAL, "")  # so that the mark of a trial goes with the test
    monkeypatch.delenv(TRIAL)
    module = ModuleType("two_epochs")

    def train(*_, **__):
        for epoch in (1, 2):
            yield SimpleNamespace(
                epoch=epoch,
                metrics={"valid/mrr@20": 0.1},
                best_epoch=epoch,
                best_metrics={"valid/mrr@20": 0.1},
                finished=epoch == 2,
                save_checkpoint=lambda folder: folder.mkdir(),
            )

    module.train = train
    monkeypatch.setitem(sys.modules, "two_epochs", module)

    def run(before=None, energy=None):
        reports, resumed = [], None
        if before is not None:
            (tmp_path / REPORT_FILE).write_text(before.model_dump_json())
            resumed = SimpleNamespace(filesystem=LocalFileSystem(), path=str(tmp_path))
        monkeypatch.setattr("ray.tune.get_checkpoint", lambda: resumed)
        monkeypatch.setattr("ray.tune.report", lambda told, **_: reports.append(told))
        task = Task(
            number=0,
            config=Config(dataset="shop").to_dict(),
            dataset_hash=shop.content_hash,
            device="cpu",
            home=str(home_folder()),
            trainer="two_epochs:train",
            energy=energy,
        )
        run_trial({"task": task.model_dump_json()})
        return [Report.model_validate_json(one["report"]) for one in reports]

    return run


def test_a_trial_records_its_energy_and_a_resumed_one_adds_to_it(tracker, trial):
    reports = trial(energy="DEU")
    assert [one.metrics["energy/kwh"] for one in reports] == pytest.approx([0.3, 0.6])
    assert [one.metrics["energy/co2_kg"] for one in reports] == pytest.approx([0.06, 0.12])
    assert "energy/kwh" not in reports[-1].best_metrics, "it is no figure of an epoch"
    again = trial(before=reports[-1], energy="DEU")
    assert [one.energy.kwh for one in again] == pytest.approx([0.9, 1.2])
    kept = Ending(RunState.FINISHED, again[-1], 1.0).outcome()["energy"]
    assert Energy(**kept) == again[-1].energy
    plain = trial()
    assert [one.energy for one in plain] == [UNMEASURED] * 2
    assert "energy" not in Ending(RunState.FINISHED, plain[-1], 1.0).outcome()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"fails_at": 2}, "CodeCarbon returned no figures"),
        ({"processor": None}, "CODECARBON_FORCE_CPU_POWER"),
        ({"flush": None}, "not callable"),
    ],
)
def test_a_failed_measurement_fails_no_trial(tracker, trial, monkeypatch, change, told):
    for name, value in change.items():
        monkeypatch.setattr(tracker, name, value)
    last = trial(energy="DEU")[-1]
    assert last.finished
    assert last.energy.kwh is None
    assert "energy/kwh" not in last.metrics
    assert told in last.energy.lacking
    assert [one.state for one in tracker.made] == ["stopped"]
    later = trial(before=last, energy="DEU")[-1]
    assert later.energy == last.energy, "a part is not the whole"


def test_a_machine_without_the_package_fails_no_trial(absent, trial):
    last = trial(energy="")[-1]
    assert last.finished
    assert "codecarbon" in last.energy.lacking
