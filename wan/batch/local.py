"""One worker in this process."""

from wan.batch.clock import SystemClock
from wan.batch.identity import Worker
from wan.batch.making import VideoMaker
from wan.batch.overview import Overview
from wan.batch.queue import QUEUE_FOLDER, WORKERS_FOLDER, Queue, share_forwards
from wan.batch.settings import BatchSettings
from wan.batch.stage_by_stage import StageByStage, of_one_session
from wan.batch.worker import work
from wan.folder_run import Say


def work_here(settings: BatchSettings, *, say: Say) -> None:
    """Claim and make requests until every one has ended, by this worker or another."""
    clock = SystemClock()
    with Worker.in_folder(settings.folder / QUEUE_FOLDER / WORKERS_FOLDER) as worker:
        by_stage = settings.videos_per_switch > 1
        queue = Queue(
            settings.folder,
            worker=worker,
            lease=settings.lease,
            retries=settings.retries,
            clock=clock,
            alike=of_one_session if by_stage else share_forwards,
        )
        maker = VideoMaker(
            folder=settings.folder,
            machine=settings.machine,
            say=say,
            accept_changes=settings.accept_changes,
            holds_expert=by_stage,
        )
        overview = Overview(queue, title=settings.title, show_progress=not settings.quiet, clock=clock, warn=say)
        try:
            work(
                queue,
                StageByStage(maker) if by_stage else maker,
                batch_size=max(settings.batch_size, settings.videos_per_switch),
                clock=clock,
                watcher=overview,
            )
        finally:
            overview.close()
