"""A request and the command line that makes it are the same thing, for every request (property test)."""

from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from wan.budgets import PRESETS
from wan.cache_knobs import CACHE_KNOBS
from wan.cli.generate import build_parser
from wan.configs import WAN_CONFIGS
from wan.machine import ATTENTIONS, DTYPE_NAMES, OFFLOADS, Machine
from wan.prompt_extension import LANGUAGES, METHODS, PromptExtension
from wan.request import Request, parse_request, request_of
from wan.sampling.guidance import TRUNCATION_MODES
from wan.sampling.schedule import SOLVER_NAMES
from wan.shortcuts import FRAME_COMPLETIONS, FRAME_POSITIONS, Shortcuts
from wan.weight_options import QUANTIZATIONS, Lora, WeightOptions

# what a shell can hand to a program: no NUL, and no half of a surrogate pair
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)))
# names of files have at most 255 bytes
NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=60)
PATHS = st.builds(Path, NAMES.filter(lambda text: text.strip("/.") != ""))
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
COUNTS = st.integers(min_value=0, max_value=10**6)


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


KNOBS = {
    "threshold": st.floats(0.0, 9.0),
    "max_skips": st.integers(1, 9),
    "retention": st.floats(0.0, 1.0),
    "order": st.integers(0, 1),
    "interval": st.integers(1, 9),
}


@st.composite
def budgets(draw: st.DrawFn) -> Shortcuts:
    """A budget decides the other shortcuts itself."""
    preset = draw(maybe(st.sampled_from(tuple(PRESETS))))
    budget = None if preset else draw(maybe(st.floats(0.0, 1.0, exclude_min=True)))
    return Shortcuts(budget=budget, preset=preset, plan=draw(maybe(PATHS)))


@st.composite
def shortcuts(draw: st.DrawFn) -> Shortcuts:
    if draw(st.booleans()):
        return draw(budgets())
    completion = draw(maybe(st.sampled_from(FRAME_COMPLETIONS)))
    start = draw(st.integers(1 if completion == "follow" else 0, 9)) if completion else 0
    positions = draw(st.sampled_from(tuple(FRAME_POSITIONS))) if completion else Shortcuts().frame_positions
    cache = draw(st.sampled_from(tuple(CACHE_KNOBS)))
    knobs = {knob: draw(maybe(KNOBS[knob])) for knob in CACHE_KNOBS[cache]}
    return Shortcuts(
        cfg_truncate_steps=draw(COUNTS),
        cfg_truncate_high_noise_steps=draw(COUNTS),
        cfg_truncate_mode=draw(st.sampled_from(tuple(TRUNCATION_MODES))),
        frame_completion=completion,
        frame_positions=positions,
        half_frame_start=start,
        half_frame_steps=draw(maybe(st.integers(0, 9))) if completion else None,
        cache=cache,
        cache_threshold=knobs.get("threshold"),
        cache_max_skips=knobs.get("max_skips"),
        cache_retention=knobs.get("retention"),
        cache_order=knobs.get("order"),
        cache_interval=knobs.get("interval"),
        restart_at_switch=draw(st.booleans()),
    )


MACHINES = st.builds(
    Machine,
    device=maybe(TEXT),
    dtype=maybe(st.sampled_from(DTYPE_NAMES)),
    offload=maybe(st.sampled_from(OFFLOADS)),
    t5_cpu=st.booleans(),
    text_cache=maybe(PATHS),
    prefetch_gib=maybe(st.floats(0.0, 1000.0)),
    vae_tiling=st.booleans(),
    attention=st.sampled_from(ATTENTIONS),
    batch_cfg=st.booleans(),
    compile=st.booleans(),
    ignore_memory_check=st.booleans(),
    ulysses_size=st.integers(1, 64),
    cfg_parallel=st.booleans(),
    dit_fsdp=st.booleans(),
    t5_fsdp=st.booleans(),
    check_parallel=st.booleans(),
)


@st.composite
def extensions(draw: st.DrawFn) -> PromptExtension:
    if not draw(st.booleans()):
        return PromptExtension()
    return PromptExtension(
        use_prompt_extend=True,
        prompt_extend_method=draw(maybe(st.sampled_from(METHODS))),
        prompt_extend_model=draw(maybe(TEXT.filter(str.strip))),
        prompt_extend_target_lang=draw(maybe(st.sampled_from(LANGUAGES))),
        prompt_extend_fallback=draw(st.booleans()),
    )


LORAS = st.lists(st.builds(Lora, PATHS, NUMBERS | st.just(1.0)), max_size=3).map(tuple)


@st.composite
def weights(draw: st.DrawFn) -> WeightOptions:
    loras = {name: draw(LORAS) for name in ("lora", "lora_high", "lora_low")}
    return WeightOptions(
        **loras,
        lora_unfused=any(loras.values()) and draw(st.booleans()),
        quantize=draw(st.sampled_from(QUANTIZATIONS)),
        **{name: draw(maybe(PATHS)) for name in ("denoiser", "denoiser_high", "denoiser_low")},
    )


@st.composite
def requests(draw: st.DrawFn) -> Request:
    debug, preview = draw(st.booleans()), draw(st.booleans())
    return Request(
        task=draw(maybe(st.sampled_from(sorted(WAN_CONFIGS)))),
        ckpt_dir=draw(maybe(PATHS)),
        prompt=draw(maybe(TEXT)),
        negative_prompt=draw(TEXT),
        image=draw(maybe(PATHS)),
        size=draw(maybe(st.tuples(COUNTS, COUNTS))),
        frame_num=draw(maybe(st.integers())),
        seed=draw(st.integers()),
        sample_solver=draw(st.sampled_from(SOLVER_NAMES)),
        sample_steps=draw(maybe(st.integers())),
        sample_shift=draw(maybe(NUMBERS)),
        sample_guide_scale=draw(maybe(st.tuples(NUMBERS) | st.tuples(NUMBERS, NUMBERS))),
        extension=draw(extensions()),
        shortcuts=draw(shortcuts()),
        weights=draw(weights()),
        machine=draw(MACHINES),
        output_dir=draw(PATHS),
        save_file=draw(maybe(PATHS)),
        no_resume_file=draw(st.booleans()),
        preview=preview,
        preview_every=draw(st.integers(1, 99)) if preview else 1,
        overwrite=draw(st.booleans()),
        enable_debug=debug,
        debug_output_dir=draw(maybe(PATHS)) if debug else None,
        debug_dtype=draw(maybe(st.sampled_from(DTYPE_NAMES))) if debug else None,
    )


@settings(max_examples=300, deadline=None)
@given(requests())
def test_parsing_the_argv_of_a_request_gives_the_request(request: Request) -> None:
    assert parse_request(request.argv()) == request


@settings(max_examples=50, deadline=None)
@given(requests())
def test_the_command_generate_reads_it_alike(request: Request) -> None:
    assert request_of(build_parser().parse_args(request.argv())) == request


def test_every_field_of_a_request_is_drawn_by_this_test() -> None:
    drawn = {name for kind in (Request, PromptExtension, Shortcuts, Machine) for name in kind.__dataclass_fields__}
    text = Path(__file__).read_text(encoding="utf-8")
    assert {name for name in drawn if f"{name}=" not in text} == set()
