"""Where things lie: everything that mmsr keeps is under one folder, `$MMSR_HOME`."""

from __future__ import annotations

import os
from pathlib import Path


def home() -> Path:
    """The folder of data sets, caches, studies and the local MLflow store (default `~/.mmsr`)."""
    return Path(os.environ.get("MMSR_HOME") or "~/.mmsr").expanduser().absolute()


def datasets() -> Path:
    """Folder of the prepared data sets, one sub-folder each."""
    return home() / "datasets"


def codes_cache() -> Path:
    """Folder of the modality codes, one file per content hash of inputs and settings."""
    return home() / "cache" / "codes"


def prefixes_cache() -> Path:
    """Folder of the prefixes' places, one file per data set and part."""
    return home() / "cache" / "prefixes"


def studies() -> Path:
    """Folder of the studies' state (Ray results, locks, journals), one sub-folder each."""
    return home() / "studies"
