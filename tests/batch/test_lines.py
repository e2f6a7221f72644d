"""The file of a batch: any field of a request, defaults from the command line, and every faulty line named at once."""

from pathlib import Path

import pytest
from PIL import Image

from wan.batch.lines import Faults, LineReader
from wan.batch.planned import Planned, Planner, request_from
from wan.cli.batch import build_parser
from wan.errors import InvalidInput
from wan.machine import Machine
from wan.request import Request

SHORT = ["--task", "t2v-demo", "--sample_steps", "4"]


def requests(path: Path, text: str, *flags: str) -> list[Request]:
    path.write_text(text, encoding="utf-8")
    faults = Faults(path)
    lines = LineReader(path, build_parser().parse_args([str(path), *flags])).read(faults)
    faults.raise_all()
    return [line.request for line in lines]


def planned(path: Path, text: str, *flags: str) -> list[Planned]:
    path.write_text(text, encoding="utf-8")
    faults = Faults(path)
    lines = LineReader(path, build_parser().parse_args([str(path), *SHORT, *flags])).read(faults)
    found = Planner(faults).plan(lines)
    faults.raise_all()
    return found


def test_text_has_a_prompt_on_every_line(tmp_path: Path) -> None:
    found = requests(tmp_path / "p.txt", "# mine\na red circle\n\n  a dog \u2028 barks\n", "--base_seed", "3")
    assert [(one.prompt, one.seed) for one in found] == [("a red circle", 3), ("a dog \u2028 barks", 3)]


def test_a_line_has_any_field_and_the_command_line_the_rest(tmp_path: Path) -> None:
    text = (
        '{"prompt": "-a", "seed": 7, "size": "64*64", "frame_num": 13, "sample_guide_scale": [3, 4.5]}\n'
        '{"prompt": "b", "shortcuts": {"cfg_truncate_steps": 2}, "machine": {"dtype": "bfloat16"}, "size": [64, 32]}\n'
        '{"prompt": "c", "base_seed": 9, "batch_cfg": false, "frame_num": null}\n'
    )
    flags = ["--batch_cfg", "--frame_num", "9", "--base_seed", "1"]
    first, second, third = requests(tmp_path / "p.jsonl", text, *flags)
    assert (first.prompt, first.seed, first.frame_num, first.size) == ("-a", 7, 13, (64, 64))
    assert first.sample_guide_scale == (3.0, 4.5) and first.machine.batch_cfg
    assert second.shortcuts.cfg_truncate_steps == 2 and second.machine.dtype == "bfloat16"
    assert (second.frame_num, second.seed, second.size) == (9, 1, (64, 32))
    assert (third.frame_num, third.seed, third.machine.batch_cfg) == (None, 9, False)


def test_paths_of_a_line_are_beside_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    (tmp_path / "below").mkdir()
    (one,) = requests(tmp_path / "below" / "p.jsonl", '{"prompt": "a", "image": "../dog.png"}')
    assert one.image is not None and one.image.resolve() == tmp_path / "dog.png"


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('{"promt": "a"}', '"promt" is not a field of a request; did you mean prompt?'),
        ('{"prompt": "a", "seed": -2}', "--base_seed -2 must be a whole number from 0 to"),
        ('{"prompt": "a", "seed": "one"}', "invalid int value: 'one'"),
        ('{"prompt": "a", "size": "big"}', "--size"),
        ('{"prompt": "a", "frame_num": [5, 9]}', '"frame_num" takes one value'),
        ('{"prompt": "a", "ulysses_size": 2}', "--ulysses_size 2 works in the command generate alone"),
        ('{"prompt": "a", "use_prompt_extend": true}', "--use_prompt_extend is not for a batch"),
        ('{"prompt": "a", "budget": 2}', "--budget 2 must be"),
        ('{"prompt": "a", "budget": true}', '"budget" takes no truth value'),
        ('{"prompt": "a", "batch_cfg": 1}', '"batch_cfg" takes true or false'),
        ('{"prompt": "a", "cache": {"name": "mag"}}', '"cache" takes one value'),
        ('{"prompt": "a", "shortcuts": 3}', '"shortcuts" holds fields of its own'),
        ('{"prompt": "a", "budget": 0.5, "shortcuts": {"budget": 0.5}}', '"budget" stands in the line and in its'),
        ('{"prompt": "a", "task": "t2v"}', "invalid choice: 't2v'"),
        ('{"prompt": "a", "save_file": "a.mp4"}', '"save_file" is not for a line: every request has a run folder'),
        ('{"prompt": "a", "device": "cpu"}', '"device" is not for a line: each worker has its own; give --device'),
        ('{"prompt": "a", "cfg_truncate_steps": -1}', "--cfg_truncate_steps -1 must be 0 (off)"),
        ('{"prompt": "a", "prompt": "b"}', "it has the key 'prompt' twice"),
        ('{"prompt": NaN}', "it holds NaN, which is no JSON"),
        ('["a"]', "it holds no JSON object; a line looks like"),
        ("a red circle", "it cannot be read as JSON"),
        ('{"seed": 1}', "it has no prompt, and none is given for all lines"),
        ('{"prompt": "a", "image": "none.png"}', "t2v-demo"),
        ('{"prompt": "a", "frame_num": 0}', "--frame_num"),
    ],
)
def test_a_faulty_line_is_named_with_the_sentence_of_its_flag(tmp_path: Path, line: str, sentence: str) -> None:
    path = tmp_path / "p.jsonl"
    with pytest.raises(InvalidInput) as refused:
        planned(path, f'{{"prompt": "right"}}\n{line}\n')
    head, fault = str(refused.value).splitlines()
    assert head == f"{path} has 1 line that no video can be made of; nothing was made:"
    assert fault.startswith("  line 2: ") and sentence in fault and "--help" not in fault


def test_all_faulty_lines_are_named_and_equal_sentences_together(tmp_path: Path) -> None:
    lines = ['{"prompt": "a"}', '{"seed": 1}', '{"prompt": "b", "seed": -9}', '{"seed": 2}', "{}"]
    with pytest.raises(InvalidInput) as refused:
        planned(tmp_path / "p.jsonl", "\n".join(lines))
    assert str(refused.value).splitlines()[1:] == [
        "  lines 2, 4, 5: it has no prompt, and none is given for all lines; write one",
        f"  line 3: --base_seed -9 must be a whole number from 0 to {2**63 - 1}, or -1 for a random one",
    ]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("p.txt", b"\n# nothing\n", "holds no request; write one a line"),
        (
            "p.txt",
            b'{"prompt": "a"}\n',
            "this is JSON, and the file is read as plain text; give it a name that ends in",
        ),
        ("p.txt", b"a \xff b\n", "cannot be read as UTF-8 text"),
        ("none.txt", None, "cannot be read as UTF-8 text"),
    ],
)
def test_a_file_without_requests_is_refused(tmp_path: Path, name: str, content: bytes | None, sentence: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidInput, match=sentence):
        faults = Faults(path)
        LineReader(path, build_parser().parse_args([str(path)])).read(faults)
        faults.raise_all()


def test_the_dearest_request_comes_first_and_equal_prompts_together(tmp_path: Path) -> None:
    text = "".join(
        f'{{"prompt": "{prompt}", "seed": {seed}, "frame_num": {frames}}}\n'
        for seed, (prompt, frames) in enumerate([("b", 5), ("a", 9), ("b", 17), ("a", 5), ("b", 9), ("a", 9)])
    )
    found = planned(tmp_path / "p.jsonl", text)
    assert [one.line for one in found] == [3, 2, 6, 5, 4, 1]
    assert [one.entry.price for one in found] == sorted((one.entry.price for one in found), reverse=True)


def test_requests_of_one_machine_setting_stand_together(tmp_path: Path) -> None:
    text = "".join(
        f'{{"prompt": "a", "seed": {n}, "frame_num": {frames}, "dtype": "{dtype}"}}\n'
        for n, (frames, dtype) in enumerate([(5, "float32"), (9, "bfloat16"), (17, "float32"), (5, "bfloat16")])
    )
    found = planned(tmp_path / "p.jsonl", text)
    assert [one.line for one in found] == [3, 1, 2, 4]
    assert len({one.entry.session for one in found}) == 2


def test_what_can_share_forwards_is_of_one_group(tmp_path: Path) -> None:
    lines = [
        '{"prompt": "a", "seed": 1}',
        '{"prompt": "b", "seed": 2, "negative_prompt": "c"}',
        '{"prompt": "a", "seed": 1, "frame_num": 9}',
        '{"prompt": "a", "seed": 1, "cfg_truncate_steps": 1}',
        '{"prompt": "a", "seed": 1, "cache": "taylor"}',
        '{"prompt": "a", "seed": 1, "cache": "sea"}',
        '{"prompt": "a", "seed": 1, "cache": "mag"}',
        '{"prompt": "a", "seed": 1, "enable_debug": true}',
    ]
    groups = {one.line: one.entry.group for one in planned(tmp_path / "p.jsonl", "\n".join(lines))}
    assert groups[1] == groups[2] and len({groups[n] for n in (1, 3, 4, 5)}) == 4
    assert groups[6] == groups[7] == groups[8] == ""


def test_a_request_is_known_again_wherever_it_stands_and_twice_is_two(tmp_path: Path) -> None:
    first = planned(tmp_path / "p.txt", "a\nb\na\n")
    again = planned(tmp_path / "q.txt", "# new\nb\n\na\na\nc\n", "--device", "cpu")
    keys = {one.entry.key for one in first}
    assert len(keys) == 3 and keys < {one.entry.key for one in again}


def test_another_picture_under_the_same_name_is_another_request(tmp_path: Path) -> None:
    keys = []
    for colour in ("red", "blue"):
        Image.new("RGB", (64, 64), colour).save(tmp_path / "a.png")
        path = tmp_path / "p.jsonl"
        path.write_text('{"prompt": "a", "image": "a.png"}', encoding="utf-8")
        faults = Faults(path)
        defaults = build_parser().parse_args([str(path), "--task", "i2v-A14B", "--size", "832*480"])
        (one,) = Planner(faults, is_dry=True).plan(LineReader(path, defaults).read(faults))
        faults.raise_all()
        keys.append(one.entry.key)
    assert keys[0] != keys[1]


def test_an_entry_is_the_request_that_it_was(tmp_path: Path) -> None:
    (one,) = planned(tmp_path / "p.jsonl", '{"prompt": "a", "seed": 4, "cfg_truncate_steps": 1, "dtype": "float32"}')
    request = request_from(one.entry, folder=tmp_path, machine=Machine(device="cpu"))
    assert (request.prompt, request.seed, request.shortcuts.cfg_truncate_steps, request.sample_steps) == ("a", 4, 1, 4)
    assert (request.machine.device, request.machine.dtype, request.output_dir) == ("cpu", "float32", tmp_path)
    assert one.entry.folder.startswith("00001_a-")
