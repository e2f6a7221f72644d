"""The founding documents' claims about time, beside the FLOPs of the same setting and the time of the demo model."""

from collections.abc import Sequence

from claims.row import Row
from claims.run import Measurements
from wan.analysis.comparison import CaseResult
from wan.instruments.methods import Method
from wan.job import prepare
from wan.request import Request
from wan.sampling.price import price, published_size

DRY_RUN = 'generate.py --task t2v-A14B --size "832*480" --frame_num 49 --sample_steps 20 --dry_run'
_LOW, _HIGH, _HALF = (
    "--cfg_truncate_steps 5",
    "--cfg_truncate_high_noise_steps 3",
    "--enable_half_frame_generation",
)
_BOTH = "half-frame, improved, CFG 5 + 3, decay"
# measured method, claim (English, Chinese), least share of the time that was claimed, flags
_CLAIMS = (
    ("CFG 5, decay", "CFG truncation 5 saves 20-30 % of the time", "CFG截断 5 步节省 20-30% 时间", 0.20, _LOW),
    (
        "CFG 0 + 3, decay",
        "High-noise truncation alone saves 15-25 %",
        "单独高噪声截断节省 15-25% 时间",
        0.15,
        _HIGH,
    ),
    ("CFG 5 + 3, decay", "Double truncation saves 35-50 %", "双重截断节省 35-50%", 0.35, f"{_LOW} {_HIGH}"),
    ("half-frame, repeat", "Half-frame alone: 1.3x", "仅帧截断 1.3 倍", 1 - 1 / 1.3, _HALF),
    (
        _BOTH,
        "Half-frame and CFG truncation: 1.73x",
        "帧截断 + CFG截断 1.73 倍",
        1 - 1 / 1.73,
        f"{_HALF} --enable_improved_frame_completion {_LOW} {_HIGH}",
    ),
)


def cost_rows(found: Measurements) -> list[Row]:
    """One row for every claim about time."""
    return [*(_cost_row(found, *claim) for claim in _CLAIMS), _several_gpus()]


def _cost_row(found: Measurements, name: str, en: str, zh: str, least: float, flags: str) -> Row:
    saved, timed = _saved_at_480p(found.method(name)), _saved_time(found.results[name])
    return Row(
        claim=(en, zh),
        measured=(
            f"A14B at 480p, 49 frames: FLOPs {-saved:+.0%} ({1 / (1 - saved):.2f}x); demo: time {-timed:+.0%}",
            f"A14B 480p 49 帧：FLOPs {-saved:+.0%}（{1 / (1 - saved):.2f} 倍）；演示模型：时间 {-timed:+.0%}",
        ),
        rule=(f"FLOPs saved at least {least:.0%}", f"FLOPs 至少节省 {least:.0%}"),
        holds=saved >= least,
        command=f"{DRY_RUN} {flags}",
    )


def _several_gpus() -> Row:
    return Row(
        claim=("Half-frame, CFG truncation and 4 GPUs: 4.5x", "帧截断 + CFG截断 + 多 GPU（4 卡）4.5 倍"),
        measured=("not measured", "未测量"),
        rule=("time on four GPUs against one, in one run", "同一次运行中四卡与单卡的时间之比"),
        unmeasured=("needs GPUs", "需要多 GPU"),
        command="-",
    )


def _saved_at_480p(method: Method) -> float:
    """Share of the estimated FLOPs that a method saves in the setting of the founding documents' tables."""
    shortcuts = method.job.request.shortcuts
    request = Request(task="t2v-A14B", prompt="", size=(832, 480), frame_num=49, sample_steps=20, shortcuts=shortcuts)
    job = prepare(request)
    config = job.config
    size = published_size(config)
    return 1 - price(job.plan, size).fractions()["flops"]


def _saved_time(results: Sequence[CaseResult]) -> float:
    """Share of the inference time that a method saved here."""
    method = sum(r.cost.inference_seconds for r in results)
    return 1 - method / sum(r.baseline_cost.inference_seconds for r in results)
