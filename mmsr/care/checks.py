"""The checks of `mmsr doctor`."""

from __future__ import annotations

import csv
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import suppress
from email.utils import parsedate_to_datetime
from pathlib import Path

from mmsr import paths
from mmsr.care.doctor import Check, Finding, fail, ok, warn
from mmsr.format import data_size, plural
from mmsr.urls import Url

_MAIN = ("torch", "ray", "optuna", "mlflow")
"""Packages whose versions are shown; all that mmsr needs are checked."""
_LITTLE, _TOO_LITTLE = 10e9, 1e9
"""Bytes of free space below which a disk is warned of, or refused."""
_CLOCK_SECONDS = 5.0
_SECONDS = 5.0
"""How long a program or a server may take."""
_SHARED_MEMORY = Path("/dev/shm")
_RAY_STORE = 100e6
"""Bytes of shared memory that Ray on this machine takes."""
_DEVICES = tuple(map(Path, ("/dev/nvidia0", "/dev/kfd", "/dev/dxg")))
"""Devices that tell of a GPU: NVIDIA's, AMD's, and that of Linux within Windows."""
_ASK_TORCH = (
    "import torch; n = torch.cuda.device_count() if torch.cuda.is_available() else 0; "
    "print(torch.version.cuda or '', *(torch.cuda.get_device_name(i) for i in range(n)), sep='|')"
)


def python() -> Finding:
    """Version of Python."""
    here = f"{platform.python_version()} ({sys.executable})"
    wanted = _metadata("Requires-Python")
    if wanted:
        from packaging.specifiers import SpecifierSet

        if platform.python_version() not in SpecifierSet(wanted, prereleases=True):
            return fail(here, f"mmsr needs Python {wanted}: make an environment with that")
    return ok(here)


def packages() -> Finding:
    """Versions of the packages that mmsr needs, against the ranges that it was tested with."""
    from packaging.requirements import Requirement

    try:
        given = importlib.metadata.requires("mmsr") or []
    except importlib.metadata.PackageNotFoundError:
        return warn("mmsr runs from a folder and is not installed", "pip install -e .")
    wrong, wanted = [], []
    for requirement in map(Requirement, given):
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        found = _version(requirement.name)
        if found is None or not requirement.specifier.contains(found, prereleases=True):
            wrong.append(f"{requirement.name} {found or 'is missing'}")
            wanted.append(f"'{requirement}'")
    shown = ", ".join(f"{name} {_version(name)}" for name in _MAIN)
    if wrong:
        return fail(f"not as tested: {', '.join(wrong)}", f"pip install {' '.join(wanted)}")
    return ok(shown)


def home() -> Finding:
    """Whether the home is there and can be written to."""
    where = paths.searched()
    if (store := paths.remote()) is not None:
        from mmsr.remote import check_remote

        check_remote(paths.named_home())
        return ok(f"{where}, in an object store ({store.filesystem.type_name})")
    folder = paths.home()
    if not folder.exists():
        nearest = next(parent for parent in folder.parents if parent.exists())
        if not os.access(nearest, os.W_OK | os.X_OK):
            return fail(f"{where} cannot be made", "set MMSR_HOME to a folder you can write to")
        return ok(f"{where}, made by the first command that needs it")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        remedy = "set MMSR_HOME to a folder you can write to"
        return fail(f"{where} cannot be written: {error.strerror}", remedy)
    return ok(where)


def disk() -> Finding:
    """Free space where the home is, and in shared memory."""
    place = _nearest(paths.home())
    space = shutil.disk_usage(place)
    told = f"{data_size(space.free)} of {data_size(space.total)} free at {place}"
    if space.free < _LITTLE:
        remedy = "see what can go with `mmsr disk`, or set MMSR_HOME to a larger disk"
        return fail(told, remedy) if space.free < _TOO_LITTLE else warn(told, remedy)
    return ok(told)


def gpu() -> Finding:
    """GPUs: the driver's version, and what torch sees, which is asked in a process of its own."""
    driver = _driver()
    if driver is None and not any(place.exists() for place in _DEVICES):
        return ok("none: models are trained on the CPU")
    try:
        command = [sys.executable, "-c", _ASK_TORCH]
        told = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        return warn("torch does not tell what it sees", "check again when less is running")
    if told.returncode != 0:
        last = (told.stderr.strip().splitlines() or ["it cannot be loaded"])[-1]
        return fail(f"torch does not work: {last}", "install torch again, see pytorch.org")
    cuda, *names = told.stdout.removesuffix("\n").rpartition("\n")[2].split("|")
    if names:
        return ok(f"{', '.join(names)} (CUDA {cuda}, driver {driver or 'unknown'})")
    if not cuda:
        return warn("there is a GPU, and torch is built for the CPU", "install torch for CUDA")
    return warn(
        f"there is a GPU, and torch for CUDA {cuda} cannot use it (driver {driver or 'unknown'})",
        "install the driver that this CUDA needs, or torch for the driver",
    )


def ray() -> Finding:
    """Whether Ray's cluster answers, or Ray could start here; it is not started."""
    from mmsr.study.workers import local_ray
    from mmsr.study.workers.addresses import check_address
    from mmsr.study.workers.cluster import cores
    from mmsr.urls import hidden_word

    local_ray.check_token_file()
    if address := os.environ.get("RAY_ADDRESS"):
        if address not in ("auto", "local"):
            check_address(address)
            return ok(f"a cluster answers at {hidden_word(address)} (RAY_ADDRESS)")
        if address == "auto":
            return ok("RAY_ADDRESS is auto: the cluster that this machine belongs to")
    folder = local_ray.session_folder()
    told = f"can start on this machine: {plural(cores(), 'core')}, sessions in {folder}"
    if _SHARED_MEMORY.is_dir() and (free := shutil.disk_usage(_SHARED_MEMORY).free) < _RAY_STORE:
        return warn(
            f"{data_size(free)} of shared memory is free, and Ray takes {data_size(_RAY_STORE)}",
            f"enlarge {_SHARED_MEMORY}, e.g. docker run --shm-size=1g",
        )
    return ok(told)


def storage() -> Finding:
    """Whether Optuna's database answers, and can keep a second driver out."""
    from mmsr.study.storage.database import default_storage, is_made, named_storage
    from mmsr.study.storage.driver_lock import can_be_claimed
    from mmsr.tracking.databases import check_database

    url = Url.parse(default_storage(), "MMSR_STORAGE")
    check_database(url, "storage")
    origin = "MMSR_STORAGE" if named_storage() else "the default"
    told = f"{url} ({origin})" + ("" if is_made(url) else ", made by the first study")
    if not can_be_claimed(url):
        return warn(f"{told}: it has no lock", "run each study from one MMSR_HOME only")
    return ok(told)


def tracking() -> Finding:
    """Whether MLflow answers."""
    from mmsr.tracking import check_tracking, default_uri

    uri = Url.parse(default_uri(), "MLFLOW_TRACKING_URI")
    away = check_tracking(uri)
    if away is not None:
        return warn(away, "studies run all the same: `mmsr study sync NAME` sends what waits")
    origin = "MLFLOW_TRACKING_URI" if os.environ.get("MLFLOW_TRACKING_URI") else "the default"
    return ok(f"{uri} ({origin})")


def clock() -> Finding:
    """Whether this machine's clock agrees with the home's file system and with MLflow's server."""
    offsets = {}
    with suppress(OSError), tempfile.NamedTemporaryFile(dir=_nearest(paths.home())) as file:
        file.write(b"0")
        file.flush()
        offsets["the home's file system"] = os.fstat(file.fileno()).st_mtime - time.time()
    if (there := _server_time()) is not None:
        offsets["MLflow's server"] = there - time.time()
    for whose, offset in offsets.items():
        if abs(offset) > _CLOCK_SECONDS:
            ahead = "ahead" if offset < 0 else "behind"
            return warn(
                f"this machine's clock is {abs(offset):,.0f} s {ahead} of {whose}",
                "set it by NTP, e.g. timedatectl set-ntp true",
            )
    return ok(f"agrees with {' and '.join(offsets) or 'nothing that could be asked'}")


CHECKS: dict[str, Check] = {
    "python": python,
    "packages": packages,
    "home": home,
    "disk": disk,
    "gpu": gpu,
    "ray": ray,
    "storage": storage,
    "tracking": tracking,
    "clock": clock,
}
"""All checks by name, in the order in which they are shown."""


def _metadata(field: str) -> str:
    try:
        return str(importlib.metadata.metadata("mmsr")[field] or "")
    except importlib.metadata.PackageNotFoundError:
        return ""


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _nearest(folder: Path) -> Path:
    return next(place for place in (folder, *folder.parents) if place.exists())


def _driver() -> str | None:
    """Version of NVIDIA's driver; None without one."""
    with suppress(OSError, subprocess.SubprocessError):
        told = subprocess.run(
            ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            check=True,
            timeout=_SECONDS,
        )
        return next((row[0] for row in csv.reader(told.stdout.splitlines()) if row), None)
    return None


def _server_time() -> float | None:
    """The time of MLflow's server by its answer; None without a server, or without one."""
    from mmsr.tracking import default_uri

    with suppress(OSError, ValueError, TypeError):
        uri = Url.parse(default_uri(), "MLFLOW_TRACKING_URI")
        if uri.kind == "server":
            request = urllib.request.Request(uri.without_password().reveal(), method="HEAD")
            try:
                answer = urllib.request.urlopen(request, timeout=_SECONDS).headers
            except urllib.error.HTTPError as error:
                answer = error.headers
            return parsedate_to_datetime(answer["Date"]).timestamp()
    return None
