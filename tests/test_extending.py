"""Every extension point has a recipe in docs/extending.md and an example, which runs here and shows what it claims."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from wan.analysis.measures import MEASURES

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("add_*.py"))
SHOWN = {
    "add_a_cache": "planned 34 forwards, executed 34; 0.850 of the plain plan's FLOPs",
    "add_a_completion": "following: mean squared difference",
    "add_a_guidance": "rescaled: cfg 4, rescaled 0.7",
    "add_a_measure": "平均亮度偏移 (shift of the mean brightness): 0.0100",
    "add_a_task": "--task t2v-advised",
    "add_an_observer": "step 8, sigma 0.631",
}


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_example_runs(path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    before = dict(MEASURES)
    try:
        load(path).main()
    finally:
        for name in MEASURES.keys() - before.keys():
            del MEASURES[name]
    assert SHOWN[path.stem] in capsys.readouterr().out


def test_every_example_has_its_recipe_and_the_recipes_name_what_exists() -> None:
    text = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    assert [path.name for path in EXAMPLES if path.name not in text] == []
    named = re.findall(r"\b(?:wan|examples)/[\w/]+\.py", text)
    assert named and [name for name in named if not (ROOT / name).is_file()] == []
