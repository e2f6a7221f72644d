"""Files of runs and caches that somebody else made: nothing of them is run, and the damaged ones end in a sentence."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.assault import bad_files, harm
from tests.goldens import CPU, DATA, RUNS, materialise, tensors
from wan.analysis.report import make_report
from wan.errors import InvalidInput
from wan.loading.layouts import open_checkpoint
from wan.loading.text_source import TextSource
from wan.loading.tokenizer_files import check_sentencepiece
from wan.runs.debug_latents import check_debug_steps, load_debug_step
from wan.runs.latents import load_latents
from wan.untrusted.pickle_stream import read_pickle
from wan.untrusted.refusal import Refused, shown
from wan.untrusted.safetensors_header import read_header
from wan.untrusted.torch_archive import read_archive

CASES = bad_files.all_file_cases()


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bad_files.make_run(tmp_path_factory.mktemp("run") / "whole")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_broken_file_of_a_run_ends_in_one_sentence(
    case: bad_files.FileCase, whole_run: Path, tmp_path: Path
) -> None:
    outcome, sentence = bad_files.attack(case, whole_run, tmp_path / "work")
    assert outcome == "refused", (outcome, sentence)
    # and for what was broken, not for another reason
    named = {"latents": bad_files.LATENTS, "debug step": Path(bad_files.STEP).name}.get(case.name.split(":")[0], "run")
    assert named in sentence


def test_what_is_whole_is_read(whole_run: Path) -> None:
    """Or every refusal above could have another reason."""
    assert load_latents(whole_run / "latents.safetensors").shape == (16, 3, 4, 4)
    check_debug_steps(whole_run / "debug_latents")
    assert load_debug_step(whole_run / bad_files.STEP).step == 2
    assert "a red circle" in make_report([whole_run], title="t")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float8_e4m3fn, torch.int64, torch.bool])
def test_the_list_of_a_torch_file_is_what_torch_reads(dtype: torch.dtype, tmp_path: Path) -> None:
    held = {
        "transposed": torch.arange(6.0).reshape(2, 3).T.to(dtype),
        "part": torch.arange(9.0).to(dtype)[2:5],
        "scalar": torch.tensor(1.0).to(dtype),
        "parameter": torch.nn.Parameter(torch.ones(2), requires_grad=False),
    }
    torch.save(held, tmp_path / "x.pth")
    listed = read_archive(tmp_path / "x.pth").tensors
    assert {name: entry.shape for name, entry in listed.items()} == {name: tuple(t.shape) for name, t in held.items()}
    save_file({name: tensor.detach().contiguous() for name, tensor in held.items()}, tmp_path / "x.safetensors")
    assert listed == read_header(tmp_path / "x.safetensors").tensors


def test_a_saved_module_is_listed(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(3, 4).state_dict(), tmp_path / "x.pth")
    assert {name: entry.shape for name, entry in read_archive(tmp_path / "x.pth").tensors.items()} == {
        "weight": (4, 3),
        "bias": (4,),
    }


@pytest.mark.parametrize("name", ["weights_vae21", "weights_t5", "weights_clip_visual"])
def test_the_official_files_are_listed_alike_in_both_formats(name: str, tmp_path: Path) -> None:
    torch.save(dict(tensors(name)), tmp_path / "x.pth")
    assert read_archive(tmp_path / "x.pth").tensors == read_header(DATA / f"{name}.safetensors").tensors


def test_no_change_of_a_header_gets_past_the_reader_as_another_error(tmp_path: Path) -> None:
    pristine = (DATA / "weights_dit_t2v-A14B_high.safetensors").read_bytes()
    header, path = 8 + int.from_bytes(pristine[:8], "little"), tmp_path / "x.safetensors"
    _fuzz(pristine, header, lambda content: (path.write_bytes(content), read_header(path)))


def test_no_change_of_a_pickle_gets_past_the_reader_as_another_error(tmp_path: Path) -> None:
    torch.save(dict(tensors("weights_vae21")), tmp_path / "x.pth")
    caught: list[bytes] = []
    harm.pickled("x.pth", lambda old: (caught.append(old), old)[1])(tmp_path)
    _fuzz(caught[0], len(caught[0]), read_pickle)


def test_no_change_of_an_archive_gets_past_the_reader_as_another_error(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    torch.save({"a": torch.ones(4), "b": torch.ones(2, 2)}, path)
    pristine = path.read_bytes()
    _fuzz(pristine, len(pristine), lambda content: (path.write_bytes(content), read_archive(path)), rounds=800)


def _fuzz(pristine: bytes, length: int, read: object, *, rounds: int = 400) -> None:
    """Flip, cut and repeat bytes among the first ``length``: ``Refused`` or a result, and nothing else."""
    generator, refusals = random.Random(0), 0
    for _ in range(rounds):
        content = bytearray(pristine)
        for _ in range(generator.randint(1, 4)):
            place = generator.randrange(length)
            match generator.randrange(3):
                case 0:
                    content[place] = generator.randrange(256)
                case 1:
                    del content[place : place + generator.randint(1, 8)]
                case _:
                    content[place:place] = content[place : place + generator.randint(1, 8)]
        try:
            read(bytes(content))  # type: ignore[operator]
        except Refused:
            refusals += 1
    assert refusals > rounds // 4


def test_a_value_that_shares_its_parts_is_not_written_out() -> None:
    """Forty pairs of pairs have more text than memory has."""
    content = b"\x80\x02" + b")q\x00" + b"h\x00h\x00\x86q\x00" * 40 + b"."
    assert shown(read_pickle(content)) == "a tuple of 2 values"


def test_every_cut_of_a_sentencepiece_model_is_refused() -> None:
    content = (DATA / "tokenizer" / "spiece.model").read_bytes()
    check_sentencepiece(content)
    for length in range(len(content)):
        with pytest.raises(Refused):
            check_sentencepiece(content[:length])


@pytest.mark.parametrize("damage", ["half", "payload", "another shape", "integers", "NaN", "another name"])
def test_a_spoiled_text_cache_is_named_and_not_used(damage: str, tmp_path: Path) -> None:
    run = "t2v_A14B_unipc"
    checkpoint = open_checkpoint(RUNS[run].config, materialise(run, tmp_path / "checkpoint"))
    cache = tmp_path / "cache"
    source = TextSource(checkpoint, dtype=torch.float32, device=CPU, cache_dir=cache)
    good = source.embed("a boat")
    (entry,) = cache.iterdir()
    if damage == "half":
        entry.write_bytes(entry.read_bytes()[:100])
    elif damage == "payload":
        harm.bare_pickle(entry.name, 2)(cache)
    else:
        made = {
            "another shape": {"embeddings": good[:, :3].contiguous()},
            "integers": {"embeddings": good.to(torch.int32)},
            "NaN": {"embeddings": good * float("nan")},
            "another name": {"text": good},
        }
        save_file(made[damage], entry)
    with pytest.raises(InvalidInput, match=r"in --text_cache is damaged .*; delete that file"):
        source.embed("a boat")
    assert not harm.trap_of(cache).exists()


def test_a_record_gets_no_other_file_into_the_page(whole_run: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_text("the key of the safe")
    folder = tmp_path / "run"
    folder.mkdir()
    record = json.loads((whole_run / "run.json").read_text(encoding="utf-8"))
    for name in (str(secret), str(tmp_path / "secret"), "/etc/hostname"):
        (folder / "run.json").write_text(json.dumps(record | {"outputs": {"video": name}}), encoding="utf-8")
        page = make_report([folder], title="t")
        assert "base64" not in page


def test_nothing_of_numpy_is_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([harm.Payload(tmp_path / "TRAP")], dtype=object), allow_pickle=True)
    for read in (load_latents, load_debug_step):
        with pytest.raises(InvalidInput):
            read(tmp_path / "x.npy")
    assert not (tmp_path / "TRAP").exists()
