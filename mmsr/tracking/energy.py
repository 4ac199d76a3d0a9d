"""The energy that a training's process uses, as CodeCarbon estimates it without a network.

Counters of processors measure whole machines, where several trials may run. So a trial gets the
share of the processor's rated power (TDP) that its process keeps busy. A GPU has a counter of its
own, of which a trial gets its share of the GPU.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from mmsr.errors import UserError, one_line, shown, unknown

ABOUT = (
    "Energy is an estimate by CodeCarbon: the share of the processor's rated power (TDP) that each "
    "trial's process kept busy, and its share of what GPUs counted; without memory, idle machines, "
    "cooling and final runs."
)
_SECONDS = 15
"""Between two measurements."""


@dataclass(frozen=True)
class Energy:
    """What a training has used; nothing is known where it was not to be measured."""

    kwh: float | None = None
    co2_kg: float | None = None
    """Kilograms of CO2 equivalents; None where no country was given."""
    lacking: str = ""
    """Why it was not measured although it should have been."""

    def metrics(self) -> dict[str, float]:
        """The figures that are known, by their names on the tracking server."""
        found = {"energy/kwh": self.kwh, "energy/co2_kg": self.co2_kg}
        return {name: value for name, value in found.items() if value is not None}


UNMEASURED = Energy()


def check_energy(given: object) -> str | None:
    """The country of a study whose trials are measured: empty if none is given; None for no study.

    Parameters
    ----------
    given : True, or the three-letter ISO code of a country such as `DEU`; None or False measures
        nothing.

    Raises
    ------
    UserError : there is no such country, or CodeCarbon is not installed.
    """
    if given is None or given is False:
        return None
    if given is not True and not isinstance(given, str):
        raise UserError(f"energy={shown(given)}: give True, or a country's code such as 'DEU'")
    try:
        from codecarbon.input import DataSource
    except ImportError:
        raise UserError(
            "--energy needs CodeCarbon: install it with `pip install 'mmsr[energy]'`, on each "
            "machine that runs trials, or leave out --energy"
        ) from None
    if given is True:
        return ""
    country, known = given.upper(), DataSource().get_global_energy_mix_data()
    if country not in known:
        hint = "give an ISO code of three letters such as DEU, or none to leave out CO2"
        raise unknown("country", given, known, hint)
    return country


@contextmanager
def metered(
    country: str | None, gpus: float, before: Energy | None
) -> Iterator[Callable[[], Energy]]:
    """Measure this process inside the context; yields a function that returns what it has used.

    A failure of the measurement raises nothing: the energy is then unknown, and says why.

    Parameters
    ----------
    country : as `check_energy` has returned it; None measures nothing.
    gpus : GPUs that the process gets, perhaps a part of one.
    before : what the same training has used in earlier processes; None if this is its first. If it
        is not known, the sum is not known either, and nothing is measured.
    """
    if country is None:
        yield lambda: UNMEASURED
        return
    if before is not None and before.kwh is None:
        unknown_sum = Energy(lacking=before.lacking or "the training began without --energy")
        yield lambda: unknown_sum
        return
    meter = _Meter(country, gpus, before or Energy(0.0, 0.0 if country else None))
    try:
        yield meter.used
    finally:
        meter.stop()


class _Newest:
    """Receives CodeCarbon's figures in place of a file."""

    total: Any = None

    def out(self, total: Any, delta: Any) -> None:
        self.total = total

    def live_out(self, total: Any, delta: Any) -> None: ...

    def task_out(self, data: Any, experiment_name: str) -> None: ...

    def exit(self) -> None: ...


class _Meter:
    """Adds what this process uses to what the same training used before."""

    def __init__(self, country: str, gpus: float, before: Energy) -> None:
        self._before, self._share = before, min(gpus, 1.0)
        self._newest, self._lacking = _Newest(), ""
        self._tracker: Any = None
        with self._noting_failure():
            self._tracker = _start(country, self._newest)

    def used(self) -> Energy:
        if not self._lacking:
            with self._noting_failure():
                return self._measure()
        return Energy(lacking=self._lacking)

    def stop(self) -> None:
        if self._tracker is not None:
            with self._noting_failure():
                self._tracker.stop()

    @contextmanager
    def _noting_failure(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # a training does not depend on its measurement
            kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
            self._lacking = one_line(f"{kind}{error}")

    def _measure(self) -> Energy:
        self._newest.total = None
        self._tracker.flush()
        total = self._newest.total
        if total is None:  # it keeps its errors to itself
            raise UserError("CodeCarbon returned no figures")
        whole, before = total.energy_consumed, self._before
        kwh = whole - (1 - self._share) * total.gpu_energy
        if before.kwh is None or before.co2_kg is None:
            return Energy((before.kwh or 0.0) + kwh)
        co2_kg = total.emissions * kwh / whole if whole else 0.0
        return Energy(before.kwh + kwh, before.co2_kg + co2_kg)


def _start(country: str, newest: _Newest) -> Any:
    from codecarbon import OfflineEmissionsTracker

    logging.getLogger("codecarbon").setLevel(logging.CRITICAL)
    # CodeCarbon also reads the user's files and variables: what would reach a network, leave files
    # or change what is counted is set here. An empty token is one that is not looked up elsewhere.
    tracker = OfflineEmissionsTracker(
        country_iso_code=country or None,
        country_2letter_iso_code=None,
        region=None,
        cloud_provider=None,
        cloud_region=None,
        force_carbon_intensity_g_co2e_kwh=None if country else 0.0,
        tracking_mode="process",
        force_mode_cpu_load=True,
        force_ram_power=0.0,  # else each process counts the 10 W of a small machine's memory
        pue=1.0,
        measure_power_secs=_SECONDS,
        allow_multiple_runs=True,
        output_dir=".",
        output_methods=[],
        output_handlers=[newest],
        emissions_endpoint=None,
        electricitymaps_api_token="",
        gpu_ids=None,
        log_level="critical",
    )
    tracker.start()
    if tracker.get_detected_hardware()["cpu_model"] is None:  # it may count the whole machine
        tracker.stop()
        raise UserError("CodeCarbon does not know the processor: set CODECARBON_FORCE_CPU_POWER")
    return tracker
