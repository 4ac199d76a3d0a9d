"""The ways to import that are compared keep the same interactions."""


def test_all_ways_keep_the_same(load, tmp_path, monkeypatch):
    monkeypatch.setenv("MMSR_HOME", "")  # so that it is restored
    benchmark = load("prepare")
    path = tmp_path / "interactions.parquet"
    benchmark.generate(path, 3_000)
    kept = set()
    for way, run in benchmark.WAYS.items():
        folder = tmp_path / way
        folder.mkdir()
        kept.add(run(path, folder))
    (only,) = kept
    assert 0 < only.interactions < 3_000
    assert only.test > only.valid > 0
