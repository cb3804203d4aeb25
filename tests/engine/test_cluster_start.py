"""How workers that are started are spoken to."""

import pytest

from geoseg.engine.cluster_spec import ClusterSpec
from geoseg.engine.cluster_start import start_slurm


@pytest.mark.filterwarnings("ignore")  # as by `Cluster`: Dask warns of a port that is taken
def test_jobs_of_slurm_are_spoken_to_in_secret(tmp_path, monkeypatch):
    """By a key that no other user may read."""
    cluster = pytest.importorskip("dask_jobqueue")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(cluster.SLURMCluster, "scale", lambda self, jobs: None)
    with start_slurm(ClusterSpec.parse("slurm:workers=1"), 0) as address:
        assert address.text.startswith("tls://")
        assert address.security.require_encryption
        keys = list(tmp_path.rglob(".dask-jobqueue.worker.key*"))
        assert len(keys) == 1
        assert keys[0].stat().st_mode & 0o077 == 0
    assert not list(tmp_path.iterdir())
