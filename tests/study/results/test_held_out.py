"""Openings of test: those of the folder and those of the storage are one record."""

from __future__ import annotations

import optuna

from mmsr.study.results.held_out import Opening, all_openings


def test_openings_of_folder_and_storage_count_once_each_in_order_of_time():
    here, both, elsewhere = (
        Opening(at=f"2026-01-0{day}T00:00:00+00:00", trials=(day,)) for day in (1, 2, 3)
    )
    study = optuna.create_study()
    assert all_openings((), study) == ()
    stored = [one.model_dump(mode="json") for one in (elsewhere, both)]
    study.set_user_attr("test_opened", stored)
    assert all_openings((both, here), study) == (here, both, elsewhere)
    assert all_openings((), study) == (both, elsewhere), "a folder that knows of none"
