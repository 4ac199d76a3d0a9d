"""The files of `mlflow/`: whom the server lets in, and what its containers are made of."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "mlflow"
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
PASSWORD = "twelve-characters"


@pytest.fixture
def serve(tmp_path):
    """Runs `serve.sh` with an `mlflow` that says what it was called with."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "mlflow").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\nenv | grep ^MLFLOW >env\n')
    (programs / "mlflow").chmod(0o755)
    path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])

    def run(**variables):
        kept = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
        done = subprocess.run(
            [FOLDER / "serve.sh"],
            env={"PATH": path, "HOME": str(tmp_path), **kept, **variables},
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        words = done.stdout.splitlines()
        told = (tmp_path / "env").read_text().splitlines() if words else []
        return SimpleNamespace(
            code=done.returncode,
            err=done.stderr,
            words=words,
            option=dict(pairwise(words)),
            variable=dict(line.split("=", 1) for line in told),
        )

    return run


@pytest.fixture
def users_known():
    """Skips where the server has nothing to ask for passwords with."""
    pytest.importorskip("flask_wtf", reason="needs `pip install 'mmsr[server]'`")


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("localhost:5000", True),
        ("10.0.0.9:5000", True),
        ("tracking.example.org:5000", True),  # as the clients of mlflow/README.md come
        ("tracking.example.org", True),  # behind a proxy
        ("tracking:5000", True),
        ("elsewhere.example.org:5000", False),
    ],
)
def test_the_server_answers_to_its_names_alone(serve, host, allowed):
    from mlflow.server.security_utils import is_allowed_host_header, should_block_cors_request

    names = {"MLFLOW_HOST": "10.0.0.9", "MLFLOW_NAMES": "tracking.example.org, tracking"}
    option = serve(MLFLOW_AUTH="off", **names).option
    assert is_allowed_host_header(option["--allowed-hosts"].split(","), host) == allowed
    origins = option["--cors-allowed-origins"].split(",")
    for scheme in ("http", "https"):
        assert should_block_cors_request(f"{scheme}://{host}", "POST", origins) != allowed


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.0.0.2", "::1", None])
def test_on_loopback_nobody_needs_a_password(serve, tmp_path, host):
    done = serve(**({"MLFLOW_HOST": host} if host else {}))
    assert done.code == 0
    assert done.option["--host"] == (host or "127.0.0.1")
    assert "--app-name" not in done.words
    assert not (tmp_path / "mlflow-auth.ini").exists()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.9", "fe80::1", "127.a.b.org"])
def test_beyond_loopback_everybody_does(serve, users_known, tmp_path, host):
    place = {"MLFLOW_HOST": host, "MLFLOW_NAMES": "tracking.example.org"}
    first = serve(**place)
    for none in (first, serve(MLFLOW_AUTH_ADMIN_PASSWORD=PASSWORD[:11], **place)):
        assert none.code == 2, "there is no default"
        assert "the first start needs MLFLOW_AUTH_ADMIN_PASSWORD, 12 characters" in none.err
    done = serve(MLFLOW_AUTH_ADMIN_PASSWORD=PASSWORD, **place)
    assert done.option["--app-name"] == "basic-auth"
    assert len(done.variable["MLFLOW_FLASK_SERVER_SECRET_KEY"]) > 40
    settings = Path(done.variable["MLFLOW_AUTH_CONFIG_PATH"])
    assert settings.stat().st_mode & 0o077 == 0
    assert "admin_password" not in settings.read_text()
    assert serve(**place).code == 0, "later starts in this folder ask for none"


def test_what_the_settings_of_users_say(serve, users_known, monkeypatch):
    """MLflow reads them with a parser to which `%` means something."""
    from mlflow.server.auth.config import read_auth_config

    url = "postgresql://mlflow:s3%2Fcret@db/mlflow"
    done = serve(
        MLFLOW_AUTH="on",
        MLFLOW_AUTH_ADMIN_PASSWORD=PASSWORD,
        MLFLOW_DATABASE=url,
        MLFLOW_ARTIFACTS="sftp://mlflow:s3cret@store/files",
    )
    for name in ("MLFLOW_AUTH_CONFIG_PATH", "MLFLOW_AUTH_ADMIN_PASSWORD"):
        monkeypatch.setenv(name, done.variable[name])
    settings = read_auth_config()
    assert settings.database_uri == "postgresql+psycopg://mlflow:s3%2Fcret@db/mlflow"
    assert settings.default_permission == "READ"
    assert (settings.admin_username, settings.admin_password) == ("admin", PASSWORD)
    assert done.variable["MLFLOW_BACKEND_STORE_URI"] == settings.database_uri
    assert done.variable["MLFLOW_ARTIFACTS_DESTINATION"] == "sftp://mlflow:s3cret@store/files"
    assert "cret" not in " ".join(done.words), "every user of the machine can list arguments"


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"MLFLOW_HOST": "0.0.0.0"}, "MLFLOW_HOST=0.0.0.0 needs MLFLOW_NAMES"),
        ({"MLFLOW_AUTH": "no"}, "MLFLOW_AUTH=no: on or off"),
    ],
)
def test_what_is_refused(serve, variables, told):
    done = serve(**variables)
    assert done.code == 2
    assert done.err.startswith("error: ")
    assert told in done.err


def test_one_s_own_settings_of_users_are_left_alone(serve, users_known, tmp_path):
    (tmp_path / "own.ini").write_text("mine")
    done = serve(MLFLOW_AUTH="on", MLFLOW_AUTH_CONFIG_PATH=str(tmp_path / "own.ini"))
    assert done.code == 0
    assert (tmp_path / "own.ini").read_text() == "mine"


def test_images_are_pinned():
    dockerfile = (FOLDER / "Dockerfile").read_text()
    images = re.findall(r"^FROM (.*)$", dockerfile, re.MULTILINE)
    images += [one["image"] for one in SERVICES.values()]
    for image in images:
        assert re.fullmatch(r"[a-z/-]+:\d[\w.-]*", image), image


def test_the_image_is_made_of_what_is_there():
    dockerfile = (FOLDER / "Dockerfile").read_text()
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for sources in re.findall(r"^COPY (.*) \S+$", dockerfile, re.MULTILINE):
        for source in sources.split():
            assert (ROOT / source).is_file()
            assert f"!{source.partition('/')[0]}" in ignored
    assert "**/.env" in ignored
    for name in ("serve.sh", "backup.py"):
        assert os.access(FOLDER / name, os.X_OK)
        assert (FOLDER / name).read_text().startswith("#!")


def test_every_service_that_stays_is_checked_and_starts_after_what_it_needs():
    for name, service in SERVICES.items():
        if "profiles" not in service:
            assert {"test", "interval", "timeout", "retries"} <= service["healthcheck"].keys(), name
            assert service["restart"] == "unless-stopped"
        for needed, how in service.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}
            assert "healthcheck" in SERVICES[needed]


def test_what_is_kept_is_in_volumes():
    mounted = [mount for one in SERVICES.values() for mount in one.get("volumes", [])]
    assert {mount.partition(":")[0] for mount in mounted} == set(COMPOSE["volumes"])
    assert "database:/var/lib/postgresql/data" in SERVICES["database"]["volumes"]


def test_no_password_has_a_default():
    text = (FOLDER / "compose.yaml").read_text()
    used = re.findall(r"\$\{(\w+)([^}]*)\}", text)
    secrets = {name for name, _ in used if name.endswith("PASSWORD")}
    assert secrets == {"POSTGRES_PASSWORD", "S3_PASSWORD", "MLFLOW_AUTH_ADMIN_PASSWORD"}
    for name, rest in used:
        assert rest.startswith(":?" if name in secrets | {"MLFLOW_NAMES"} else ":-"), name
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET", name):
                assert re.match(r"\$\{\w+:\?", value), name
    assert SERVICES["tracking"]["environment"]["MLFLOW_AUTH"] == "on"


@pytest.mark.parametrize("text", ["mlflow/compose.yaml", "docs/tracking_server.md"])
def test_the_recipe_for_containers_sets_what_every_command_needs(tmp_path, text):
    """In a file that nobody else can read, at no moment."""
    lines = [line.removeprefix("#   ") for line in (ROOT / text).read_text().splitlines()]
    recipe = "\n".join(lines[lines.index("(") : lines.index(")") + 1])
    (tmp_path / "mlflow").mkdir()
    without_openssl = recipe.replace("openssl rand -hex 24", "echo 12")
    subprocess.run(["bash", "-euc", without_openssl], cwd=tmp_path, check=True)
    file = tmp_path / "mlflow" / ".env"
    assert file.stat().st_mode & 0o077 == 0
    assert recipe.index("umask 077") < recipe.index("mlflow/.env")
    needed = set(re.findall(r"\$\{(\w+):\?", (FOLDER / "compose.yaml").read_text()))
    assert {line.partition("=")[0] for line in file.read_text().splitlines()} == needed


def test_what_a_server_writes_is_not_committed():
    names = ["mlflow/.env", "mlflow-auth.ini", "mlflow.db", "mlartifacts/1"]
    command = ["git", "-C", str(ROOT), "check-ignore", "--no-index", *names]
    if not (ROOT / ".git").exists():
        pytest.skip("this is no clone")
    assert subprocess.run(command, capture_output=True, text=True).stdout.split() == names


def test_only_mlflow_is_published_and_on_loopback():
    assert {name for name, one in SERVICES.items() if "ports" in one} == {"tracking"}
    (port,) = SERVICES["tracking"]["ports"]
    number = SERVICES["tracking"]["environment"]["MLFLOW_PORT"]
    assert port == f"${{MLFLOW_BIND:-127.0.0.1}}:{number}:{number}", "names go with the port"


def test_the_containers_commands_get_what_they_ask_for():
    """`serve.sh` and `backup.py` are the ones that the other tests run by hand."""
    script = (FOLDER / "serve.sh").read_text() + (FOLDER / "backup.py").read_text()
    for name in ("tracking", "backup"):
        own = {key for key in SERVICES[name]["environment"] if key.startswith("MLFLOW")}
        assert own <= set(re.findall("MLFLOW_[A-Z0-9_]+", script))
    database, store = SERVICES["database"]["environment"], SERVICES["store"]["environment"]
    tracking = SERVICES["tracking"]["environment"]
    user, name = database["POSTGRES_USER"], database["POSTGRES_DB"]
    assert tracking["MLFLOW_DATABASE"].startswith(f"postgresql://{user}:")
    assert tracking["MLFLOW_DATABASE"].endswith(f"@database/{name}")
    assert tracking["MLFLOW_ARTIFACTS"].startswith(f"s3://{store['S3_BUCKET']}/")
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        assert tracking[key] == store[key]
    backup = SERVICES["backup"]["environment"]
    assert backup["MLFLOW_ARTIFACTS"] == tracking["MLFLOW_ARTIFACTS"]
    assert backup["MMSR_STORAGE"] == "${MMSR_STORAGE:-}", "Optuna's studies are saved, too"
