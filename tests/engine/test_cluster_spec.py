"""What `--cluster` may say, and what SLURM is asked for."""

import pytest

from geoseg.engine import cluster_start
from geoseg.engine.cluster_spec import ClusterSpec
from geoseg.engine.cluster_start import slurm_options, start_local
from geoseg.errors import ConfigError, WorkError


def test_processes_of_this_machine():
    spec = ClusterSpec.parse("local:4")
    assert (spec.kind, spec.workers, spec.dashboard) == ("local", 4, None)
    assert ClusterSpec.parse("local:2,dashboard=8787").dashboard == 8787


@pytest.mark.parametrize("text", ["tcp://host:8786", "tls://10.0.0.1:80", "tcp://[::1]:8786"])
def test_schedulers(text):
    spec = ClusterSpec.parse(text)
    assert (spec.kind, spec.text, spec.workers) == ("scheduler", text, None)


@pytest.mark.parametrize(
    "text",
    [
        *("", "local", "local:", "local:0", "local:-1", "local:two", "local:2,x=1", "local:٣"),
        *("tcp://", "tcp://host", "tcp://host:x", "http://host:80", "tcp://a b:1", "yarn:8"),
        *("slurm:", "slurm:partition=gpu", "slurm:workers=0", "slurm:workers=2,nodes=3"),
        *("slurm:workers=2,workers=3", "slurm:workers=2,memory=much", "slurm:workers=2,cores=x"),
    ],
)
def test_anything_else_is_refused(text):
    with pytest.raises(ConfigError, match="--cluster"):
        ClusterSpec.parse(text)


def test_more_workers_than_gpus_are_refused():
    with (
        pytest.raises(ConfigError, match="local:4 asks for 4 GPUs, 2 are there") as refused,
        start_local(ClusterSpec.parse("local:4"), 2),
    ):
        raise AssertionError("workers were started")
    assert "Give local:2" in str(refused.value)


def test_workers_that_cannot_be_started_are_told(monkeypatch):
    def fail(**_):
        raise RuntimeError("Cluster failed to start: [Errno 28]\nNo space left on device")

    monkeypatch.setattr(cluster_start, "SpecCluster", fail)
    with (
        pytest.raises(WorkError, match=r"local:1: .* start: \[Errno 28\] No space left.* room"),
        start_local(ClusterSpec.parse("local:1"), 0),
    ):
        raise AssertionError


def test_jobs_of_slurm():
    """The script that SLURM gets, as dask-jobqueue writes it."""
    cluster = pytest.importorskip("dask_jobqueue.slurm")
    text = "slurm:partition=gpu,workers=8,cores=6,memory=24G,walltime=02:00:00,account=me,gpus=1"
    spec = ClusterSpec.parse(text)
    assert spec.workers == 8
    options = slurm_options(spec)
    job = cluster.SLURMJob("tcp://127.0.0.1:1", "one", **_of_jobs(options))
    script = job.job_script().splitlines()
    for line in (
        *("#SBATCH -p gpu", "#SBATCH -A me", "#SBATCH --cpus-per-task=6", "#SBATCH --mem=24G"),
        *("#SBATCH -t 02:00:00", "#SBATCH -G 1", "export OMP_NUM_THREADS=6"),
    ):
        assert line in script
    (started,) = (line for line in script if "distributed.cli.dask_worker" in line)
    assert "--nthreads 1 " in started
    assert "export DASK_DISTRIBUTED__WORKER__PRELOAD=geoseg.engine.cluster_preload" in script


def _of_jobs(options):
    return {"protocol": "tcp://", "security": None, "interface": None} | options
