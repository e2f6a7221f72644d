"""The rules of docs/design.md that code can check about itself: one-way imports, light planning, print, sizes."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE_FILES = sorted((ROOT / "wan").rglob("*.py"))
TOOL_FILES = sorted((ROOT / "tools").rglob("*.py"))
EXAMPLE_FILES = sorted((ROOT / "examples").glob("*.py"))
INTEGRATION_FILES = sorted((ROOT / "integrations").rglob("*.py"))
PRODUCT_FILES = [*PACKAGE_FILES, *TOOL_FILES, *EXAMPLE_FILES, *INTEGRATION_FILES, *sorted(ROOT.glob("*.py"))]
TEST_FILES = sorted((ROOT / "tests").rglob("*.py"))

MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 50

# What each part of the package may import besides itself.
_PLANNED = {
    "errors",
    "untrusted",
    "configs",
    "flags",
    "limits",
    "texts",
    "pictures",
    "cache_knobs",
    "shortcuts",
    "settings",
    "sampling",
    "sampling.guidance",
}
_ASKED = _PLANNED | {
    "weight_options",
    "weight_rules",
    "commands",
    "machine",
    "memory",
    "prompt_extension",
    "request",
    "request_checks",
}
_ENTRY = {"text2video", "image2video", "textimage2video"}
LAYERS = {
    "errors": set(),
    "configs": {"errors"},
    "commands": set(),
    "console": set(),
    "prompt_text": set(),
    "limits": {"errors"},
    "texts": {"errors"},
    "pictures": {"errors"},
    "flags": {"errors", "commands", "limits", "texts"},
    # pure arithmetic, below the shortcuts that name its modes
    "sampling.guidance": set(),
    "budgets": {"errors"},
    "cache_knobs": {"errors"},
    "half_frame": {"errors"},
    "shortcuts": {"errors", "flags", "budgets", "cache_knobs", "half_frame", "sampling.guidance"},
    "settings": {"errors", "configs", "limits", "shortcuts"},
    "sampling": {"errors", "configs", "cache_knobs", "shortcuts", "settings", "sampling.guidance"},
    "machine": {"errors", "configs", "flags"},
    "weight_options": {"errors", "commands", "flags", "texts"},
    "gpus": set(),
    "footprint": _PLANNED | {"gpus", "loading", "machine", "memory", "weight_options"},
    "weight_rules": {"errors", "commands", "weight_options"},
    "prompt_extension": {"errors", "flags"},
    "device_kind": {"errors", "configs", "machine"},
    "memory": {"errors", "configs", "machine", "device_kind", "sampling"},
    "request_checks": {"errors", "configs", "limits", "texts", "request", "runs"},
    # what a user asks for knows the planning half of sampling by its names; sampling never asks back
    "request": _PLANNED | {"commands", "machine", "prompt_extension", "weight_options"},
    "preview_colours": {"errors", "configs"},
    "preview": _PLANNED | {"preview_colours", "runs"},
    "image_input": {"errors", "configs", "pictures", "texts"},
    # the closed world of the demo model: what its clips show, drawn and read back
    "demo_world": {"errors"},
    "models": _PLANNED | {"prompt_text"},
    "loading": _PLANNED | {"commands", "models", "prompt_text", "runs", "weight_options"},
    "planning": _PLANNED | {"budgets", "commands", "runs"},
    # a language model writes a prompt out: it knows no run and no request
    "extension": {"errors", "loading", "models", "prompt_extension", "texts", "untrusted"},
    "job_weights": _ASKED | {"device_kind", "loading", "runs"},
    "job": _ASKED
    | {"job_weights", "device_kind", "extension", "image_input", "loading", "parallel", "planning", "preview_colours"},
    # a job whose prompt is to be extended, made one with the extended prompt
    "extending": _ASKED | {"extension", "image_input", "job"},
    # files of others, read without trusting them
    "untrusted": set(),
    "runs": {"errors", "commands", "texts", "untrusted"},
    "analysis": _PLANNED | {"commands", "runs"},
    "conditioned": _PLANNED | {"models"},
    # several processes; ranks and sharing are for the planning half
    "parallel": _PLANNED | {"commands", "gpus", "loading", "machine", "models"},
    "pipeline_checks": _PLANNED | {"loading", "machine", "memory", "models", "weight_options", "weight_rules"},
    "pipeline": _PLANNED
    | {"conditioned", "models", "loading", "machine", "parallel", "pipeline_args", "pipeline_checks", "pipeline_parts"}
    | {"planning", "weight_options"},
    "pipeline_parts": _PLANNED | {"loading", "models", "parallel", "pipeline_checks", "weight_options"},
    "pipeline_args": _PLANNED | {"conditioned", "models"},
    **{name: _PLANNED | {"conditioned", "models", "pipeline", "pipeline_checks"} for name in _ENTRY},
    "session": _PLANNED | {"conditioned", "job", "models", "loading", "parallel", "pipeline"},
    "following": _PLANNED | {"analysis", "job", "loading", "parallel", "session"},
    # a run that was stopped, found again
    "resuming": _ASKED | {"extending", "job", "loading", "runs"},
    # the settings in a file of a run: as other programs read them, and as a request again
    "parameters_text": _ASKED | {"job"},
    "recorded_request": _ASKED | {"job", "runs"},
    "run_sections": _ASKED | {"job", "loading", "parameters_text", "runs", "resuming"},
    "run_parts": _PLANNED | {"runs"},
    "folder_run": _ASKED
    | {"job", "models", "loading", "runs", "analysis", "pipeline", "session", "run_parts", "run_sections"}
    | {"parallel", "preview", "preview_colours"},
    "decoding": _PLANNED | {"models", "loading", "request_checks", "runs"},
    "generation": _ASKED
    | {"job", "models", "loading", "runs", "analysis", "pipeline_checks", "resuming", "run_sections", "folder_run"}
    | {"extending", "following", "parallel", "session"},
    "batch": _ASKED
    | {
        "job",
        "job_weights",
        "loading",
        "runs",
        "analysis",
        "pipeline_checks",
        "resuming",
        "run_sections",
        "run_parts",
        "session",
    }
    | {"extending", "folder_run", "generation", "parallel"},
    # the service: its faces know the desk, and the desk the queue
    "serve": _ASKED
    | {"analysis", "batch", "budgets", "half_frame", "image_input", "job", "loading", "parallel", "planning"}
    | {"prompt_text", "recorded_request", "resuming", "runs"},
    "tune": _ASKED
    | {
        "budgets",
        "gpus",
        "job",
        "models",
        "loading",
        "runs",
        "analysis",
        "pipeline",
        "planning",
        "session",
        "demo_world",
    },
    "instruments": _ASKED
    | {"demo_world", "job", "models", "loading", "runs", "analysis", "pipeline", "session", "generation"}
    | {"run_sections"},
    "cli": _ASKED
    | {"console", "job", "models", "loading", "runs", "analysis", "session", "resuming", "decoding", "generation"}
    | {
        "extension",
        "footprint",
        "image_input",
        "instruments",
        "job_weights",
        "parallel",
        "recorded_request",
        "tune",
        "batch",
        "serve",
    },
    "__main__": {"cli"},
}

MODEL_LIBRARIES = {"diffusers", "transformers"}
MODEL_LIBRARY_USERS = (
    "wan.models",
    "wan.loading",
    "wan.extension.local",
    "wan.parallel.sequence",
    "wan.sampling.solvers",
    "wan.instruments.bench",
    "wan.instruments.arena.peers",
)

# Planning and records: a dry run answers in about a second because these import neither torch nor a model library.
LIGHT_MODULES = (
    "wan",
    "wan.errors",
    "wan.configs",
    "wan.commands",
    "wan.flags",
    "wan.budgets",
    "wan.cache_knobs",
    "wan.shortcuts",
    "wan.settings",
    "wan.machine",
    "wan.weight_options",
    "wan.footprint",
    "wan.gpus",
    "wan.weight_rules",
    "wan.loading.denoiser_files",
    "wan.untrusted.gguf_header",
    "wan.loading.lora_files",
    "wan.prompt_extension",
    "wan.extension.extend",
    "wan.extension.remote",
    "wan.console",
    "wan.device_kind",
    "wan.limits",
    "wan.memory",
    "wan.texts",
    "wan.prompt_text",
    "wan.parallel.price",
    "wan.parallel.ranks",
    "wan.parallel.sharing",
    "wan.pictures",
    "wan.request_checks",
    "wan.request",
    "wan.image_input",
    "wan.untrusted.torch_archive",
    "wan.untrusted.safetensors_header",
    "wan.loading.tokenizer_files",
    "wan.demo_world.words",
    "wan.job",
    "wan.cli.main",
    "wan.cli.extend",
    "wan.cli.generate",
    "wan.cli.batch",
    "wan.batch.index",
    "wan.batch.overview",
    "wan.batch.planned",
    "wan.batch.worker",
    "wan.cli.serve",
    "wan.serve.desk",
    "wan.cli.tune",
    "wan.planning.choose",
    "wan.tune.clips",
    "wan.tune.options",
    "wan.sampling.geometry",
    "wan.sampling.image_size",
    "wan.sampling.schedule",
    "wan.sampling.guidance",
    "wan.sampling.plan",
    "wan.sampling.policies",
    "wan.sampling.price",
    "wan.sampling.carried_size",
    "wan.resuming",
    "wan.parameters_text",
    "wan.preview_colours",
    "wan.recorded_request",
    "wan.sampling.table",
    "wan.runs",
)
HEAVY_LIBRARIES = ("torch", "diffusers", "transformers", "av", "PIL", "skimage", "matplotlib")


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def syntax_tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported_modules(path: Path) -> Iterator[str]:
    """Every module that the file names in an import, at any depth, relative ones made absolute."""
    package = module_name(path).split(".") if path.name == "__init__.py" else module_name(path).split(".")[:-1]
    for node in ast.walk(syntax_tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            # `from wan import runs` names the module wan.runs, `from wan import __version__` the package.
            yield from (f"{source}.{alias.name}" if source == "wan" else source for alias in node.names)


def layer(module: str) -> str | None:
    """The part of the package that a module name lies in; None for the package itself and for other packages."""
    parts = module.split(".")
    is_inside = parts[0] == "wan" and len(parts) > 1
    if module == "wan.sampling.guidance" or module.startswith("wan.sampling.guidance."):
        return "sampling.guidance"
    exists = is_inside and ((ROOT / "wan" / parts[1]).is_dir() or (ROOT / "wan" / f"{parts[1]}.py").is_file())
    return parts[1] if exists else None


@pytest.mark.parametrize(
    "path", [p for p in PACKAGE_FILES if p.parent != ROOT / "wan" or p.stem != "__init__"], ids=relative
)
def test_imports_go_one_way(path: Path) -> None:
    own = layer(module_name(path))
    assert own in LAYERS, f"{relative(path)}: say in LAYERS what it may import"
    allowed = LAYERS[own] | {own}
    wrong = sorted({module for module in imported_modules(path) if layer(module) not in allowed | {None}})
    assert not wrong, f"{relative(path)} ({own}) may import {sorted(allowed)}, not {wrong}"


@pytest.mark.parametrize("path", PACKAGE_FILES, ids=relative)
def test_only_models_and_solvers_know_the_model_libraries(path: Path) -> None:
    name = module_name(path)
    if not any(name == user or name.startswith(f"{user}.") for user in MODEL_LIBRARY_USERS):
        assert not MODEL_LIBRARIES & {module.split(".")[0] for module in imported_modules(path)}


@pytest.mark.parametrize("path", PACKAGE_FILES, ids=relative)
def test_the_package_knows_nothing_above_it(path: Path) -> None:
    above = {"generate", "tools", "tests", *(tool.stem for tool in (ROOT / "tools").iterdir())}
    assert not above & {module.split(".")[0] for module in imported_modules(path)}


def test_planning_and_records_load_no_heavy_library() -> None:
    script = (
        f"import importlib, sys\n"
        f"for name in {LIGHT_MODULES!r}: importlib.import_module(name)\n"
        f"print(*sorted(set(sys.modules) & set({HEAVY_LIBRARIES!r})))\n"
    )
    answer = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout.split() == []


@pytest.mark.parametrize("path", [p for p in PACKAGE_FILES if "cli" not in p.parts], ids=relative)
def test_the_package_prints_nothing(path: Path) -> None:
    lines = [
        node.lineno
        for node in ast.walk(syntax_tree(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert not lines, f"{relative(path)} prints on lines {lines}: log or return instead"


# An empty __init__.py only marks a folder of tests.
@pytest.mark.parametrize("path", [*PRODUCT_FILES, *(p for p in TEST_FILES if p.stat().st_size)], ids=relative)
def test_the_first_line_says_what_the_file_is_for(path: Path) -> None:
    docstring = ast.get_docstring(syntax_tree(path))
    assert docstring, f"{relative(path)} has no docstring"
    lines = path.read_text(encoding="utf-8").splitlines()
    first = lines[1] if lines[0].startswith("#!") else lines[0]
    assert docstring.splitlines()[0] in first


@pytest.mark.parametrize("path", PRODUCT_FILES, ids=relative)
def test_files_and_functions_are_short(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines < MAX_FILE_LINES, f"{relative(path)} has {lines} lines"
    functions = [n for n in ast.walk(syntax_tree(path)) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))]
    sizes = {function.name: (function.end_lineno or 0) - function.lineno + 1 for function in functions}
    long = {name: size for name, size in sizes.items() if size > MAX_FUNCTION_LINES}
    assert not long, f"{relative(path)} has functions over {MAX_FUNCTION_LINES} lines: {long}"
