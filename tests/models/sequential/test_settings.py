"""What a study of a model of ids varies and tries first."""

from __future__ import annotations

import pytest

from mmsr.config import Config
from mmsr.config.models import model_class, settings_class
from mmsr.study.search.space import check_settings, check_space
from mmsr.training.losses.make import make_loss

from .cases import make

NAMES = ("gru4rec", "sasrec", "sr_gnn")


@pytest.mark.parametrize("name", NAMES)
def test_the_space_is_sound_and_holds_the_known_settings(name: str) -> None:
    settings = settings_class(name)
    base = Config.from_dict({"dataset": "x", "model": {"name": name}})
    space = settings.space()
    check_space(space, base)
    assert settings.known_settings()
    for known in settings.known_settings():
        config = check_settings(space, base, known)
        make_loss(config.training)


@pytest.mark.parametrize("name", NAMES)
def test_a_model_is_what_its_name_says_and_survives_its_config(name: str) -> None:
    found = model_class(name)
    assert isinstance(make(name), found)
    assert found.Settings().name == name
    config = Config.from_dict({"dataset": "x", "model": {"name": name, "width": 24}})
    assert Config.from_dict(config.to_dict()) == config
