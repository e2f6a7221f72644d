"""How much memory a run holds at its peak, on the device and in host memory, and how long named GPUs take for it.

Computed, not measured: weights by their number and the bytes of each, activations by what was counted on tensors
without data (the documentation of the hardware table has the program).
"""

from dataclasses import dataclass, replace
from pathlib import Path

from wan.configs import TaskConfig
from wan.gpus import EFFICIENCY, GIB, GPUS, PCIE_BYTES_PER_SECOND
from wan.loading.denoiser_files import Replaced, is_gguf
from wan.loading.files import weight_files
from wan.loading.headers import read_entries
from wan.loading.layouts import Checkpoint
from wan.machine import OFFLOADS, Machine
from wan.memory import BYTES, block_bytes
from wan.sampling.geometry import Geometry
from wan.sampling.plan import Plan
from wan.sampling.price import DenoiserSize
from wan.weight_options import WeightOptions

LIBRARIES = 2e9
"""Python, PyTorch and CUDA in host memory, an estimate."""
# published: parameters of umT5-xxl's encoder, of the VAE of Wan2.1 (and A14B), and of that of Wan2.2
_TEXT, _VAE_16, _VAE_48 = 5.68e9, 0.127e9, 0.705e9
# decoding in float32, for VAEs of 16 and of 48 channels: bytes for each pixel of a frame (a third of it where there is
# one frame), and in tiles, which need an amount at once and more for each pixel of the video
_DECODE = {False: 20.5e3, True: 23.0e3}
_TILED = {False: (1.27e9, 17.1), True: (0.94e9, 47.7)}
_ONE_FRAME = 0.34
_IMAGE_POSITIONS = 257
_ROOM = 0.95


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """Bytes of the parts of a model: one expert as it is stored (the larger one), its blocks, text encoder, VAE."""

    expert: float
    blocks: float
    text: float
    vae: float
    has_large_vae: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Footprint:
    """Bytes at the peak, of a GPU's memory and of the host's."""

    device: float
    host: float


def parts_of(
    config: TaskConfig,
    size: DenoiserSize,
    machine: Machine,
    weights: WeightOptions,
    *,
    replaced: Replaced = (),
    checkpoint: Checkpoint | None = None,
) -> Parts:
    """By the checkpoint's files where there are some, otherwise by the published sizes."""
    width = BYTES[machine.dtype or config.param_dtype]
    blocks = float(block_bytes(size, machine.dtype or config.param_dtype, weights.quantize))
    if config.has_image_encoder:  # each block has keys and values of the image besides
        blocks *= 1 + size.num_layers * 2 * size.dim**2 / size.block_weights
    border = (8 * size.dim**2 + config.text_dim * size.dim) * width
    files = [path.stat().st_size for _, path in replaced if is_gguf(path)]
    expert = max(files) if files else blocks + border
    text_width = 4 if width == 4 else 2
    if checkpoint is None:
        vae = _VAE_48 if config.latent_channels == 48 else _VAE_16
        text = _TEXT
    else:
        text, vae = (_elements(checkpoint, name) for name in ("text_encoder", "vae"))
    return Parts(
        expert=expert,
        blocks=min(blocks, expert),
        text=text * text_width,
        vae=vae * 4,
        has_large_vae=config.latent_channels == 48,
    )


def footprint(
    config: TaskConfig,
    size: DenoiserSize,
    geometry: Geometry,
    parts: Parts,
    machine: Machine,
    *,
    passes: int,
    is_quantised: bool,
) -> Footprint:
    """The peak of a run on a GPU. ``passes``: most evaluations in a step; ``is_quantised``: a matrix is made large."""
    width = BYTES[machine.dtype or config.param_dtype]
    offload = machine.offload_for(config)
    tokens = geometry.tokens(geometry.latent_frames) * (2 if machine.batch_cfg and passes > 1 else 1)
    forward = tokens * max(11.2 * size.dim, 2 * size.ffn_dim + 4.4 * size.dim) * width
    forward += size.dim * size.ffn_dim * width if is_quantised else 0
    positions = size.text_len + (_IMAGE_POSITIONS if config.has_image_encoder else 0)
    kept = 0 if offload == "group" else passes * 2 * size.num_layers * positions * size.dim * width
    decode = _decoding(geometry, parts.has_large_vae, tiled=machine.vae_tiling)
    experts = 2 if config.has_two_experts else 1
    two_blocks = 2 * parts.blocks / size.num_layers
    held = {"none": experts * parts.expert, "expert": parts.expert, "group": two_blocks}[offload]
    text = 0 if machine.t5_cpu else parts.text
    if offload == "none":
        device = text + held + max(kept + forward, decode)
    else:
        device = max(text, held + kept + forward, decode)
    host = {"none": 0, "expert": parts.expert if experts == 2 else 0, "group": parts.expert}[offload]
    return Footprint(device=parts.vae + device, host=LIBRARIES + max(host, parts.text if machine.t5_cpu else 0))


def _decoding(geometry: Geometry, is_large: bool, *, tiled: bool) -> float:
    pixels = geometry.width * geometry.height
    whole = pixels * _DECODE[is_large] * (_ONE_FRAME if geometry.pixel_frames == 1 else 1.0)
    least, each = _TILED[is_large]
    return min(whole, least + each * pixels * geometry.pixel_frames) if tiled else whole


def estimate_lines(
    plan: Plan,
    config: TaskConfig,
    size: DenoiserSize,
    machine: Machine,
    weights: WeightOptions,
    *,
    replaced: Replaced = (),
    checkpoint: Checkpoint | None = None,
) -> list[str]:
    """Memory and seconds for people; for the demo model, which is too small for such figures, its memory alone."""
    parts = parts_of(config, size, machine, weights, replaced=replaced, checkpoint=checkpoint)
    if config.bundled_checkpoint:
        whole = 2 * parts.expert + parts.text + parts.vae
        return [f"memory: {whole / 1e6:.0f} MB of weights, beside Python and its libraries"]
    quantize = "gguf" if any(is_gguf(path) for _, path in replaced) else weights.quantize
    passes = max(len(step.evaluated) for step in plan.steps)

    def held(offload: str) -> Footprint:
        return footprint(
            config,
            size,
            plan.geometry,
            parts,
            replace(machine, offload=offload),
            passes=passes,
            is_quantised=quantize != "none",
        )

    own = machine.offload_for(config)
    stored = machine.dtype or config.param_dtype if quantize == "none" else quantize
    if machine.device == "cpu":
        together = held(own)
        amount = _gib(together.device + LIBRARIES)
        return [f"memory, computed (weights in {stored}, --offload {own}): {amount} of host memory"]
    cells = [f"{name} {_cell(held(name))}{' (this run)' if name == own else ''}" for name in OFFLOADS]
    memory = f"memory, computed (weights in {stored}), GiB of a GPU + of the host: --offload {', '.join(cells)}"
    return [memory, _seconds_line(plan, size, parts, own, held(own))]


def _seconds_line(plan: Plan, size: DenoiserSize, parts: Parts, offload: str, found: Footprint) -> str:
    tokens = [plan.geometry.tokens(step.latent_frames) for step in plan.steps for _ in step.evaluated]
    forwards = [size.forward_flops(count) for count in tokens]
    # blocks come while others work: whichever takes longer
    least = parts.blocks / PCIE_BYTES_PER_SECOND if offload == "group" else 0.0
    times = []
    for name, gpu in GPUS.items():
        seconds = sum(max(gpu.seconds(flops), least) for flops in forwards)
        fits = "" if found.device <= _ROOM * gpu.memory else f" (too small: {gpu.memory / GIB:.0f} GiB)"
        times.append(f"{name} {_duration(seconds)}{fits}")
    return f"sampling, computed at {EFFICIENCY:.0%} of the data sheets' bfloat16 speed: {', '.join(times)}"


def _elements(checkpoint: Checkpoint, component: str) -> float:
    """Numbers in the files of a component; those of the official layout lie in the root."""
    folder = checkpoint.path / component
    if folder.is_dir():
        files = weight_files(folder)
    else:
        stems = {"text_encoder": "models_t5*", "vae": "*VAE.*"}
        files = [
            path for path in sorted(checkpoint.path.glob(stems[component])) if path.suffix in (".pth", ".safetensors")
        ]
    return float(sum(entry.elements for file in files for entry in read_entries(Path(file)).values()))


def _cell(found: Footprint) -> str:
    return f"{found.device / GIB:.1f} + {found.host / GIB:.1f}"


def _gib(amount: float) -> str:
    return f"{amount / GIB:.1f} GiB"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
