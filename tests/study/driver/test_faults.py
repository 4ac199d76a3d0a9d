"""Whatever dies, every trial is accounted for exactly once."""

from __future__ import annotations

import ipaddress
import signal
import time
from collections import Counter
from pathlib import Path
from socket import AF_UNIX
from types import SimpleNamespace

import psutil
import pytest

from mmsr.inner_names import read_token_again
from mmsr.study.storage.known_study import look_up
from mmsr.study.storage.trials import rows

pytestmark = pytest.mark.slow

EPOCHS = 4
FAILING, DYING, NAN = 13, 14, 15
WIDTHS = [DYING, 30, 31, FAILING, 32, NAN, 33, 34, 35]

STUDY = f"""
from mmsr.study import Int, Study

study = Study(
    dataset="shop",
    name="faults",
    trials={len(WIDTHS)},
    epochs={EPOCHS},
    space={{"model.width": Int(10, 60)}},
    enqueue=[{{"model.width": width}} for width in {WIDTHS}],
    pruner=None,
    trainer="fake_training:train",
)

if __name__ == "__main__":
    study.main()
"""


@pytest.fixture(scope="module")
def place(faked_place):
    return faked_place("faults", STUDY, FAKE_EPOCH_SECONDS="0.3")


def epochs_logged(place):
    """How often each (width, epoch) was trained."""
    lines = place.log.read_text().splitlines() if place.log.exists() else []
    return Counter(tuple(map(int, line.split())) for line in lines)


def wait_for_finished(place, count, process):
    """Wait until so many trials have logged their last epoch."""
    deadline = time.monotonic() + 240
    while sum(epoch == EPOCHS for _, epoch in epochs_logged(place)) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.3)  # into the next epoch


def end_with_children(process, number):
    """Send a signal to the driver alone, and wait until all that it started is gone."""
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    _, left = psutil.wait_procs(children, timeout=30)
    for child in left:
        child.kill()
    return out, err


def seen_from_outside(process):
    """Where a running driver and all that it started listen, and what strangers get of its Ray."""
    driver = psutil.Process(process.pid)
    connections = [
        (member.name(), connection)
        for member in (driver, *driver.children(recursive=True))
        for connection in member.net_connections(kind="all")
    ]
    listening = {
        (name, connection.laddr)
        for name, connection in connections
        if connection.status == psutil.CONN_LISTEN
    }
    (port,) = (address.port for name, address in listening if name == "gcs_server")
    paths = {connection.laddr for _, connection in connections if connection.family == AF_UNIX}
    return SimpleNamespace(
        addresses={(name, address.ip) for name, address in listening},
        answers=[ask_the_head(port, token) for token in (None, "0" * 64)],
        sockets=[Path(path) for path in paths if path.endswith(("/raylet", "/plasma_store"))],
    )


def ask_the_head(port, token):
    """What Ray's head says to a program that has no token, or another one."""
    from ray._raylet import GcsClient

    with pytest.MonkeyPatch.context() as patch:
        for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
            patch.delenv(name, raising=False)
        if token is not None:
            patch.setenv("RAY_AUTH_MODE", "token")
            patch.setenv("RAY_AUTH_TOKEN", token)
        read_token_again()
        try:
            return GcsClient(address=f"127.0.0.1:{port}").internal_kv_keys(b"", None)
        except Exception as error:
            return str(error)
        finally:
            patch.undo()
            read_token_again()


@pytest.fixture(scope="module")
def survived(place):
    """The study after SIGKILL, then Ctrl-C, then a run to the end."""
    process = place.driver.start()
    wait_for_finished(place, 2, process)
    outside = seen_from_outside(process)
    end_with_children(process, signal.SIGKILL)
    after_kill = epochs_logged(place)

    process = place.driver.start("--resume")
    wait_for_finished(place, 4, process)
    out, err = end_with_children(process, signal.SIGINT)
    interrupted = SimpleNamespace(code=process.returncode, out=out, err=err)

    out, err = place.driver.run()
    return SimpleNamespace(
        outside=outside, after_kill=after_kill, interrupted=interrupted, out=out, err=err
    )


@pytest.fixture
def known(place, survived, monkeypatch):
    monkeypatch.setenv("MMSR_HOME", str(place.home))
    return look_up("faults")


def test_its_ray_listens_on_loopback_alone(survived):
    assert {"gcs_server", "raylet"} < {name for name, _ in survived.outside.addresses}
    for name, ip in survived.outside.addresses:
        address = ipaddress.ip_address(ip)
        address = getattr(address, "ipv4_mapped", None) or address
        assert address.is_loopback, f"{name} listens at {ip}"


def test_its_ray_refuses_whoever_has_no_token(survived):
    for answer in survived.outside.answers:
        assert "InvalidAuthToken" in answer


def test_nobody_else_can_enter_the_folder_of_its_sockets(survived):
    assert survived.outside.sockets
    for socket in survived.outside.sockets:
        assert any(folder.stat().st_mode & 0o077 == 0 for folder in socket.parents), socket


def test_ctrl_c_ends_in_good_order(survived):
    assert survived.interrupted.code == 130
    assert "the same command resumes the study" in survived.interrupted.out
    assert "Traceback" not in survived.interrupted.out + survived.interrupted.err
    assert survived.interrupted.err == ""


def test_every_trial_is_accounted_for_once(known):
    found = rows(known.study)
    assert sorted(row.config.model.width for row in found) == sorted(WIDTHS)
    states = {row.config.model.width: row.state for row in found}
    assert {w for w, state in states.items() if state == "failed"} == {FAILING, NAN}
    assert set(states.values()) == {"finished", "failed"}
    for row in found:
        if row.state == "finished":
            expected = row.config.model.width / 1000 * (1 - 0.5**EPOCHS)
            assert row.value == pytest.approx(expected)
            curve = known.study.trials[row.number].intermediate_values
            assert sorted(curve) == list(range(1, EPOCHS + 1))


def test_finished_trials_never_run_twice_and_others_continue(place, survived):
    logged = epochs_logged(place)
    for width in set(WIDTHS) - {FAILING, NAN}:
        times = [logged[width, epoch] for epoch in range(1, EPOCHS + 1)]
        assert all(times), "every epoch was trained"
        # Of an interrupted trial no more than the epochs after its newest checkpoint run again.
        assert sum(times) <= EPOCHS + 4
    done = {width for width, epoch in survived.after_kill if epoch == EPOCHS}
    finished_twice = [w for w in done if logged[w, 1] > 1]
    assert not finished_twice


def test_a_killed_worker_goes_on_from_its_checkpoint(place, known):
    assert epochs_logged(place)[DYING, 1] == 1
    (row,) = [row for row in rows(known.study) if row.config.model.width == DYING]
    assert row.state == "finished"


def test_mlflow_agrees_with_optuna(place, known, tracked_runs):
    runs = tracked_runs(place.home, "faults")
    assert len(runs) == len(WIDTHS)
    by_width = {int(run.data.params["model.width"]): run for run in runs}
    assert sorted(by_width) == sorted(WIDTHS)
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{place.home / 'mlflow.db'}")
    for row in rows(known.study):
        run = by_width[row.config.model.width]
        assert run.info.status == ("FINISHED" if row.state == "finished" else "FAILED")
        assert run.data.tags["mmsr.optuna_number"] == str(row.number)
        if row.state == "finished":
            history = client.get_metric_history(run.info.run_id, "valid/mrr_at_20")
            assert sorted(metric.step for metric in history) == list(range(1, EPOCHS + 1))
    assert "bad luck" in by_width[FAILING].data.tags["mmsr.error"]
    assert "valid/mrr@20 is nan" in by_width[NAN].data.tags["mmsr.error"]


def test_failures_are_told_at_the_end(survived):
    assert "2 failed" in survived.out
    assert "bad luck" in survived.out


def test_a_bug_that_hits_the_first_trials_stops_the_study(place):
    script = place.folder / "bug.py"
    text = STUDY.replace('"faults"', '"bug"').replace(str(WIDTHS), "[]")
    alike = f'Int({FAILING}, {FAILING}), "training.batch_size": Int(8, 99)'  # nothing runs twice
    script.write_text(text.replace("Int(10, 60)", alike))
    driver = type(place.driver)(script, place.driver.environment)
    out, _ = driver.run(code=1)
    said = "the first 3 trials failed with the same error: ValueError: width 13 brings bad luck"
    assert said in out


def test_a_full_disk_stops_the_study_and_fails_nothing(place, monkeypatch):
    script = place.folder / "full.py"
    script.write_text(STUDY.replace('"faults"', '"full"').replace(str(WIDTHS), "[40, 41]"))
    full = place.folder / "is-full"
    full.touch()
    log = place.folder / "full.log"
    environment = {**place.driver.environment, "FAKE_FULL": str(full), "FAKE_LOG": str(log)}
    driver = type(place.driver)(script, environment)
    out, _ = driver.run("--trials", "2", code=1)
    said = (
        "could not continue: OSError: [Errno 28] No space left on device; once that is fixed, the"
    )
    assert said in out
    stopped = [width for width in ("40", "41") if f"{width} 2" in log.read_text().splitlines()]
    assert stopped, "a trial met the full disk in its second epoch"
    full.unlink()
    driver.run("--trials", "2")
    monkeypatch.setenv("MMSR_HOME", str(place.home))
    found = rows(look_up("full").study)
    assert [row.state for row in found] == ["finished"] * 2
    assert sorted(row.config.model.width for row in found) == [40, 41]
    for width in stopped:
        epochs = log.read_text().splitlines()
        assert epochs.count(f"{width} 1") == 1, "it went on from its checkpoint"


def test_resources_that_no_node_has_are_refused(place):
    script = place.folder / "huge.py"
    text = STUDY.replace('"faults"', '"huge"')
    script.write_text(text.replace("pruner=None", 'pruner=None, resources={"cpu": 999}'))
    driver = type(place.driver)(script, place.driver.environment)
    _, err = driver.run_here(code=2)
    assert "999 CPU" in err
    assert "this machine has" in err
    assert err.count("\n") == 1
    assert not (place.home / "studies" / "huge").exists(), "nothing was made"
