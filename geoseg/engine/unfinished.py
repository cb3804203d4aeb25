"""What an earlier run has left of a scene: found again, gone on with, or done away with."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import Any

from geoseg.engine.journal import Journal, journal_path
from geoseg.engine.scene_job import SceneJob
from geoseg.errors import WorkError
from geoseg.geo.cog import RasterProfile, RasterWriter

logger = logging.getLogger(__name__)


def identity_of(job: SceneJob) -> dict[str, Any]:
    """What an unfinished run must have in common with one that goes on with it."""
    identity = {
        "settings": job.settings,
        "stamp": [*job.own.stamp, *job.own.sources],
        "rasters": [path.name for path in job.targets.written],
    }
    return dict(json.loads(json.dumps(identity)))


def read_journal(job: SceneJob) -> Journal | None:
    """The journal of an unfinished run with the same settings over the same scene.

    Raises:
        OutputError: If that run goes on in another process.
    """
    path, classes = journal_path(job.targets.classes), job.targets.classes
    journal = Journal.read(path, shape=job.own.grid.shape, output=classes)
    if journal is None:
        return None
    wanted = identity_of(job)
    if journal.marks and {key: journal.identity.get(key) for key in wanted} == wanted:
        return journal
    journal.close()
    return None


def has_remains(job: SceneJob) -> bool:
    """Whether any earlier run has left an unfinished scene, of whatever settings."""
    return journal_path(job.targets.classes).exists()


def start_journal(job: SceneJob, identity: dict[str, Any]) -> Journal:
    """Begin a journal.

    Args:
        job: The scene.
        identity: With all of `identity_of`.

    Raises:
        OutputError: If the outputs are being written by another process.
        WorkError: If the file system fails.
    """
    classes = job.targets.classes
    return Journal.start(journal_path(classes), identity, output=classes)


def reopen(
    job: SceneJob, profiles: Sequence[RasterProfile], journal: Journal
) -> list[RasterWriter] | None:
    """The rasters of an unfinished run; None if they are not what its journal tells."""
    writers: list[RasterWriter] = []
    try:
        for path, profile, written in zip(
            job.targets.written, profiles, journal.written, strict=True
        ):
            overwrite = path in job.replaceable
            writers.append(RasterWriter.resumed(path, profile, written, overwrite=overwrite))
    except BaseException as error:
        for writer in writers:
            writer.abort()
        if isinstance(error, WorkError | ValueError):
            return None
        journal.close()
        raise
    return writers


class JournalEnd:
    """Removes a journal at the end of the work, or leaves it with what is to be gone on with."""

    def __init__(self, journal: Journal, job: SceneJob) -> None:
        self._journal, self._job = journal, job

    def __enter__(self) -> None:
        """Nothing is to be done at the begin."""

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None or not self._journal.marks:
            self._journal.remove()
            return
        self._journal.close()
        logger.warning(
            "%s: its finished rows are kept; --resume goes on from there",
            self._job.targets.classes,
        )
