"""A run that the command line left unfinished, as a request of the service, which goes on with it in its own folder."""

from dataclasses import replace
from pathlib import Path

from wan.batch.planned import session_of
from wan.errors import InvalidInput
from wan.job import open_job_checkpoint
from wan.loading.layouts import known_checkpoint_dir
from wan.resuming import EarlierRun, earlier_run
from wan.runs.lock import hold
from wan.runs.record import FINISHED
from wan.sampling.price import price
from wan.serve.planning import PlannedRequest
from wan.serve.request_fields import fields_of, has_other_weights
from wan.serve.settings import DeskSettings


def adopted(folder: Path, settings: DeskSettings) -> PlannedRequest:
    """The request of a run folder, with the seed that was drawn; ``InvalidInput`` for one that is finished, that
    somebody works in, or that this service could not go on with."""
    if folder.parent != settings.folder:
        raise InvalidInput(f"{folder.name} lies deeper in the output folder; go on with --resume on the command line")
    hold(folder).release()
    earlier = earlier_run(folder, accept_changes=settings.accept_changes)
    _refuse_foreign(earlier, settings)
    job = replace(earlier.job, request=replace(earlier.job.request, seed=earlier.seed))
    return PlannedRequest(
        fields=fields_of(job.request),
        job=job,
        tag=price(job.plan, open_job_checkpoint(job).denoiser_size),
        session=session_of(job),
        notices=job.notices,
    )


def _refuse_foreign(earlier: EarlierRun, settings: DeskSettings) -> None:
    job, name = earlier.job, earlier.directory.name
    if earlier.record["status"] == FINISHED:
        raise InvalidInput(f"{name} is finished; there is nothing to go on with")
    config = job.config
    folder = known_checkpoint_dir(config, job.request.ckpt_dir)
    if config.name not in settings.models or folder != known_checkpoint_dir(config, settings.models[config.name]):
        raise InvalidInput(
            f"{name} was made with {config.name} of {folder}, which this service does not have; go on with --resume on "
            "the command line"
        )
    if has_other_weights(job.request, settings):
        raise InvalidInput(
            f"{name} was made with other LoRA files or weights than this service has; go on with --resume on the "
            "command line"
        )
