"""One worker in this process."""

from wan.batch.clock import SystemClock
from wan.batch.identity import Worker
from wan.batch.making import VideoMaker
from wan.batch.overview import Overview
from wan.batch.queue import QUEUE_FOLDER, WORKERS_FOLDER, Queue
from wan.batch.settings import BatchSettings
from wan.batch.worker import work
from wan.folder_run import Say


def work_here(settings: BatchSettings, *, say: Say) -> None:
    """Claim and make requests until every one has ended, by this worker or another."""
    clock = SystemClock()
    with Worker.in_folder(settings.folder / QUEUE_FOLDER / WORKERS_FOLDER) as worker:
        queue = Queue(settings.folder, worker=worker, lease=settings.lease, retries=settings.retries, clock=clock)
        maker = VideoMaker(
            folder=settings.folder, machine=settings.machine, say=say, accept_changes=settings.accept_changes
        )
        overview = Overview(queue, title=settings.title, show_progress=not settings.quiet, clock=clock, warn=say)
        try:
            work(queue, maker, batch_size=settings.batch_size, clock=clock, watcher=overview)
        finally:
            overview.close()
