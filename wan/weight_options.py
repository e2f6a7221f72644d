"""Which weights a run computes with besides its checkpoint's: LoRA files, single files, and how they are stored."""

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from wan.commands import SOURCE_DIR
from wan.errors import InvalidInput
from wan.flags import as_text, flag
from wan.texts import path_of

GROUP = "LoRA and quantisation"
GGUF = "gguf"
QUANTIZATIONS = ("none", "fp8", "int8", GGUF)
DEMO_LORA = "t2v-demo-4steps"
"""The pair of LoRA files that ships with the demo model; its name may stand in the place of a path."""
PACKAGED_LORA = Path(__file__).parent / "demo_lora"
"""Where a wheel puts it."""
BOTH, HIGH, LOW = "both", "high", "low"


@dataclass(frozen=True, slots=True)
class Lora:
    """One LoRA as it is asked for: a safetensors file or a folder with a pair of them, and its strength."""

    path: Path
    scale: float = 1.0

    @property
    def text(self) -> str:
        """As the command line has it."""
        path = str(self.path)
        path = f"./{path}" if path.startswith("-") else path  # it would be read as a flag
        reads_as_scale = _number(path.rpartition(":")[2]) is not None
        return path if self.scale == 1.0 and not reads_as_scale else f"{path}:{as_text(float(self.scale))[0]}"


def lora_of(text: str) -> Lora:
    """``PATH`` or ``PATH:SCALE``; ArgumentTypeError for a path or a strength that cannot be."""
    path, colon, number = text.rpartition(":")
    scale = _number(number) if colon and path else None
    if scale is None:
        return Lora(bundled(path_of(text)))
    if not math.isfinite(scale):
        raise argparse.ArgumentTypeError(f"the strength of {text!r} is not a finite number")
    return Lora(bundled(path_of(path)), scale)


lora_of.__name__ = "LoRA"


def bundled(path: Path) -> Path:
    """The folder of the demo LoRA for its name, where nothing else has that name; every other path as it is."""
    if str(path) != DEMO_LORA or path.exists():
        return path
    in_clone = SOURCE_DIR / "checkpoints" / DEMO_LORA
    return in_clone if in_clone.is_dir() else PACKAGED_LORA


def lora_beside(folder: Path, text: str) -> str:
    """The same LoRA for a text whose relative path begins in ``folder``."""
    name = text.rpartition(":")[0] if _number(text.rpartition(":")[2]) is not None else text
    return text if name == DEMO_LORA else str((folder / text).absolute())


lora_of.whole = lambda text: lora_beside(Path.cwd(), text)  # type: ignore[attr-defined]


def _loras_as_text(loras: Sequence[Lora]) -> list[str]:
    return [lora.text for lora in loras]


def _lora_flag(help: str) -> tuple[Lora, ...]:
    made: tuple[Lora, ...] = flag(
        (), help, group=GROUP, read=lora_of, write=_loras_as_text, metavar="PATH[:SCALE]", nargs="+"
    )
    return made


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightOptions:
    """LoRA files for both experts or for one of them, and how the denoisers' weights are stored.

    Raises ``InvalidInput`` for what contradicts itself.
    """

    lora: tuple[Lora, ...] = _lora_flag(
        "LoRA files that change the denoiser, both experts alike, each with its strength (1); a folder with a pair "
        "(high_noise_model.safetensors, low_noise_model.safetensors) changes each expert by its own file; "
        f"{DEMO_LORA}: the one of the demo model"
    )
    lora_high: tuple[Lora, ...] = _lora_flag("LoRA files for the high-noise expert alone")
    lora_low: tuple[Lora, ...] = _lora_flag("LoRA files for the low-noise expert alone")
    lora_unfused: bool = flag(
        False,
        "keep LoRAs beside the weights instead of adding them to the weights while these are read: slower, rounds "
        "differently",
        group=GROUP,
    )

    quantize: str = flag(
        "none",
        "how the denoisers' weights are stored: fp8 and int8 take half of bfloat16's memory (int8 needs torchao), gguf "
        "takes published GGUF files (needs gguf), those of the checkpoint's folder or of --denoiser_high and "
        "--denoiser_low (%(default)s)",
        group=GROUP,
        choices=QUANTIZATIONS,
    )
    denoiser: Path | None = flag(
        None,
        "one file with the denoiser's weights, .gguf or .safetensors (ComfyUI's, fp8-scaled ones too), instead of the "
        "checkpoint's; for models with one expert",
        group=GROUP,
        read=Path,
        metavar="FILE",
    )
    denoiser_high: Path | None = flag(
        None, "the same for the high-noise expert", group=GROUP, read=Path, metavar="FILE"
    )
    denoiser_low: Path | None = flag(None, "the same for the low-noise expert", group=GROUP, read=Path, metavar="FILE")

    def __post_init__(self) -> None:
        if self.quantize not in QUANTIZATIONS:
            raise InvalidInput(f"--quantize {self.quantize!r} is unknown; choose one of {', '.join(QUANTIZATIONS)}")
        if self.lora_unfused and not self.loras:
            raise InvalidInput("--lora_unfused needs a LoRA; give --lora too, or leave it out")

    @property
    def denoiser_files(self) -> dict[str, Path]:
        """The single files that were given, by their flags."""
        files = {f"--{name}": getattr(self, name) for name in ("denoiser", "denoiser_high", "denoiser_low")}
        return {name: path for name, path in files.items() if path is not None}

    @property
    def loras(self) -> tuple[tuple[str, Lora], ...]:
        """Every LoRA with the name of what it changes: both, high or low."""
        return tuple(
            (which, lora)
            for which, asked in ((BOTH, self.lora), (HIGH, self.lora_high), (LOW, self.lora_low))
            for lora in asked
        )

    def lasting(self) -> "WeightOptions":
        """The same from any folder."""
        files = {name.removeprefix("--"): path.absolute() for name, path in self.denoiser_files.items()}
        return replace(
            self,
            lora=_lasting(self.lora),
            lora_high=_lasting(self.lora_high),
            lora_low=_lasting(self.lora_low),
            **files,  # type: ignore[arg-type]
        )


def _lasting(loras: Sequence[Lora]) -> tuple[Lora, ...]:
    return tuple(replace(lora, path=lora.path.absolute()) for lora in loras)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
