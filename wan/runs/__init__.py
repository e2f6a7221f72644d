"""What a run leaves on disk: its folder, record, latents and video (knows no model).

Latents and videos are read and written by ``wan.runs.latents`` and ``wan.runs.video``; they are not imported here,
because they need torch and PyAV and a dry run needs neither.
"""

from wan.runs.atomic import atomic_path, write_json_atomic, write_text_atomic
from wan.runs.folders import IMAGE_NAME, LATENTS_NAME, RECORD_NAME, VIDEO_NAME, create_run_directory
from wan.runs.provenance import (
    checkpoint_identity,
    device_name,
    environment_versions,
    git_revision,
)
from wan.runs.record import RunRecord, load_record

__all__ = [
    "IMAGE_NAME",
    "LATENTS_NAME",
    "RECORD_NAME",
    "VIDEO_NAME",
    "RunRecord",
    "atomic_path",
    "checkpoint_identity",
    "create_run_directory",
    "device_name",
    "environment_versions",
    "git_revision",
    "load_record",
    "write_json_atomic",
    "write_text_atomic",
]
