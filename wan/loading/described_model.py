"""Which model a checkpoint directory describes (experts, channels, width), by config.json, and the tasks it serves."""

from dataclasses import dataclass
from pathlib import Path

from wan.configs import WAN_CONFIGS, TaskConfig
from wan.loading.problems import CHECK_TASK, Problem


@dataclass(frozen=True, kw_only=True, slots=True)
class DescribedModel:
    """The denoisers of a directory, as ``source`` (a config.json) describes them; None where it does not say."""

    source: Path
    has_two_experts: bool
    in_channels: int | None
    dim: int | None
    ffn_dim: int | None
    num_layers: int | None


def fitting_tasks(described: DescribedModel) -> tuple[str, ...]:
    """Tasks that can run the model, videos first; where some were made for its very size, those alone."""
    able = [config for config in WAN_CONFIGS.values() if _is_able(described, config)]
    able.sort(key=lambda config: config.is_image_task)
    exact = [config.name for config in able if _has_size(described, config)]
    # the demo model is told by its size only
    return tuple(exact or (config.name for config in able if config.bundled_checkpoint is None))


def mismatch(described: DescribedModel, config: TaskConfig, ckpt_dir: Path) -> Problem | None:
    """A problem when the task cannot run the model: another number of experts or of input channels."""
    if _is_able(described, config):
        return None
    tasks = fitting_tasks(described)
    fit = f"it fits --task {' or '.join(tasks)}" if tasks else "no task here runs it"
    if described.has_two_experts != config.has_two_experts:
        counts = ("one expert", "two experts")
        wrong = (
            f"--ckpt_dir {ckpt_dir} holds {counts[described.has_two_experts]}, and --task {config.name} runs "
            f"{counts[config.has_two_experts]}; {fit}"
        )
    else:
        wrong = (
            f"{described.source} describes a denoiser with {described.in_channels} input channels, and "
            f"--task {config.name} runs one with {config.in_channels}; {fit}"
        )
    return Problem(wrong, mend=CHECK_TASK, task=tasks[0]) if tasks else Problem(wrong)


def size_mismatch(described: DescribedModel, config: TaskConfig) -> Problem | None:
    """A problem when the task could run the model, but it is another task's published one (1.3B for 14B)."""
    tasks = fitting_tasks(described)
    made_for = [WAN_CONFIGS[task] for task in tasks if _has_size(described, WAN_CONFIGS[task])]
    if not made_for or config.name in tasks:
        return None
    return Problem(
        f"{described.source} describes a denoiser of width {described.dim} with {described.num_layers} layers, "
        f"the model of --task {' or '.join(tasks)}; --task {config.name} has width {config.dim} and "
        f"{config.num_layers} layers, and its sizes and defaults do not suit it",
        mend=CHECK_TASK,
        task=tasks[0],
    )


def _is_able(described: DescribedModel, config: TaskConfig) -> bool:
    return (described.has_two_experts, described.in_channels) == (config.has_two_experts, config.in_channels)


def _has_size(described: DescribedModel, config: TaskConfig) -> bool:
    return (described.dim, described.ffn_dim, described.num_layers) == (config.dim, config.ffn_dim, config.num_layers)
