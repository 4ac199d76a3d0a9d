"""How many inputs the fuzz tests try."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile(
    "mmsr-fuzz",
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=400,
    suppress_health_check=list(HealthCheck),
)
