"""The models of a checkpoint of either layout, each on its own and only when asked."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from diffusers.utils import logging as diffusers_logging
from transformers import AutoTokenizer, CLIPVisionModel, PreTrainedTokenizerBase, UMT5EncoderModel
from transformers.utils import logging as transformers_logging

from wan.errors import CheckpointError
from wan.loading import diffusers_models, official_models
from wan.loading.component import WHOLE, Component, Spread, as_stored
from wan.loading.denoiser_weights import GgufWeights
from wan.loading.diffusers_layout import EXPERT_FOLDERS, IMAGE_ENCODER, TEXT_ENCODER, VAE
from wan.loading.files import experts_of
from wan.loading.headers import PICKLE_SUFFIXES, SAFETENSORS_SUFFIX
from wan.loading.layouts import Checkpoint
from wan.loading.lora_files import LoraFile
from wan.loading.lora_merge import LoraChanges
from wan.loading.numbers import check_numbers
from wan.loading.problems import Problem
from wan.loading.quantised import storage_for
from wan.loading.tokenizer_files import tokenizer_problems, vocabulary_size
from wan.models.attention import set_attention
from wan.models.image_encoder import ImageEncoder
from wan.models.text import TextEncoder
from wan.models.vae import VideoVAE
from wan.sampling.plan import Expert
from wan.untrusted.refusal import reason_of
from wan.weight_options import WeightOptions


class Components(Protocol):
    """How a layout opens each component."""

    def denoiser(self, checkpoint: Checkpoint, expert: Expert) -> Component[WanTransformer3DModel]:
        """One expert."""

    def vae(self, checkpoint: Checkpoint) -> Component[AutoencoderKLWan]:
        """Pixels to latents and back."""

    def text_encoder(self, checkpoint: Checkpoint) -> Component[UMT5EncoderModel]:
        """umT5."""

    def image_encoder(self, checkpoint: Checkpoint) -> Component[CLIPVisionModel]:
        """CLIP, where the task has it."""


# what a denoiser expects, and the component that gives it
_WIDTHS = {
    "text_dim": (TEXT_ENCODER, "d_model"),
    "image_dim": (IMAGE_ENCODER, "hidden_size"),
}
_JUDGED = (SAFETENSORS_SUFFIX, *PICKLE_SUFFIXES, ".json", ".model")
_FOUND_WHOLE: set[str] = set()
OpenComponent = Callable[[], Component[Any]]

_COMPONENTS: Mapping[str, Components] = {"official": official_models, "diffusers": diffusers_models}


def components_of(checkpoint: Checkpoint) -> dict[str, OpenComponent]:
    """How to open each component that the task needs, under its name in the diffusers layout."""
    components = _COMPONENTS[checkpoint.layout.name]
    opened: dict[str, OpenComponent] = {
        EXPERT_FOLDERS[expert]: functools.partial(components.denoiser, checkpoint, expert)
        for expert in experts_of(checkpoint.config)
    }
    opened |= {
        VAE: functools.partial(components.vae, checkpoint),
        TEXT_ENCODER: functools.partial(components.text_encoder, checkpoint),
    }
    if checkpoint.config.has_image_encoder:
        opened[IMAGE_ENCODER] = functools.partial(components.image_encoder, checkpoint)
    return opened


def weight_problems(checkpoint: Checkpoint, *, read_all: bool = False) -> Iterator[Problem]:
    """One per component whose files do not hold the parameters of its model, or that has numbers that are none.

    Of the numbers the small tensors are read, with ``read_all`` all of them.
    """
    models: dict[str, Any] = {}
    for name, open_component in components_of(checkpoint).items():
        try:
            models[name] = _checked(checkpoint, name, open_component, read_all=read_all)
        except CheckpointError as error:
            yield Problem(str(error))
    yield from _pairing_problems(checkpoint, models)
    yield from _tokenizer_problems(checkpoint, models)


def _checked(checkpoint: Checkpoint, name: str, open_component: OpenComponent, *, read_all: bool) -> Any:
    """The model of one component without its weights; ``CheckpointError`` for whatever is wrong with its files."""
    try:
        component = open_component()
        model = component.check()
        check_numbers(component, read_all=read_all)
    except CheckpointError:
        raise
    except Exception as error:  # whatever the model libraries make of values that are possible one by one
        raise CheckpointError(
            f"the {name} of {checkpoint.path} has a config.json or tensors that no model can be made from "
            f"({type(error).__name__}: {reason_of(error)}); download it again"
        ) from error
    return model


def _pairing_problems(checkpoint: Checkpoint, models: Mapping[str, Any]) -> Iterator[Problem]:
    """One per component that is whole but belongs to another model: its width is not the one that is needed."""
    sizes = {name: model.config for name, model in models.items()}
    needs = [(VAE, "z_dim", checkpoint.config.latent_channels)]
    for expert in experts_of(checkpoint.config):
        if folder := sizes.get(EXPERT_FOLDERS[expert]):
            needs += [(name, given, getattr(folder, needed)) for needed, (name, given) in _WIDTHS.items()]
    for name, given, wanted in dict.fromkeys(needs):
        if name in sizes and getattr(sizes[name], given) != wanted:
            yield Problem(
                f"the {name} of {checkpoint.path} has {given} {getattr(sizes[name], given)} where the model needs "
                f"{wanted}; it is another model's: download it again"
            )


def _tokenizer_problems(checkpoint: Checkpoint, models: Mapping[str, Any]) -> Iterator[Problem]:
    """A problem when the tokenizer does not load, or makes ids that the text encoder has no embedding for."""
    folder = checkpoint.tokenizer_dir
    if any(tokenizer_problems(folder, ckpt_dir=checkpoint.path)):
        return  # reported before any model is made
    try:
        size = max(vocabulary_size(folder), *_padding(checkpoint))
    except CheckpointError as error:
        yield Problem(str(error))
        return
    known = models[TEXT_ENCODER].config.vocab_size if TEXT_ENCODER in models else size
    if size > known:
        yield Problem(
            f"{folder} makes tokens up to {size - 1}, and the text encoder knows {known}; one of the two is another "
            "model's: download both again"
        )


def _padding(checkpoint: Checkpoint) -> list[int]:
    """One more than each id of an empty text, padded as every text is; ``CheckpointError`` where it cannot be."""
    try:
        tokenizer = load_tokenizer(checkpoint)
        tokens = tokenizer("", padding="max_length", truncation=True, max_length=checkpoint.text_len)
        return [int(number) + 1 for number in tokens.input_ids]
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # the library raises plain Exception, and for a panic what is no Exception at all
        raise CheckpointError(
            f"{checkpoint.tokenizer_dir} makes no tokenizer ({reason_of(error)}); download it again"
        ) from error


def check_weights(checkpoint: Checkpoint) -> None:
    """``CheckpointError`` unless every component's files hold its model's parameters, as finite numbers where they are
    few. Done once for every state of the files: before a run folder is made, and when a pipeline opens them."""
    state = _state_of(checkpoint)
    if state in _FOUND_WHOLE:
        return
    for problem in weight_problems(checkpoint):
        raise CheckpointError(problem.sentence)
    _FOUND_WHOLE.add(state)


def _state_of(checkpoint: Checkpoint) -> str:
    """Changes with every file of the checkpoint and with the task."""
    files = sorted(path for path in checkpoint.path.rglob("*") if path.suffix in _JUDGED and path.is_file())
    files += [path for _, path in checkpoint.replaced]
    states = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return repr((checkpoint.path.resolve(), checkpoint.layout.name, checkpoint.config, checkpoint.replaced, states))


def prepare_expert(
    checkpoint: Checkpoint,
    expert: Expert,
    *,
    dtype: torch.dtype,
    attention: str = "auto",
    spread: Spread = WHOLE,
    loras: Sequence[LoraFile] = (),
    weights: WeightOptions = WeightOptions(),
) -> Callable[[torch.device], WanTransformer3DModel]:
    """One denoiser without its weights; the result reads them to a device. What diffusers keeps in float32 stays so.

    ``loras``: those of them that are for this expert change it; ``weights`` says how, and how the weights are stored.
    """
    component = _COMPONENTS[checkpoint.layout.name].denoiser(checkpoint, expert)
    fused = not weights.lora_unfused and not isinstance(component.weights, GgufWeights)
    changes = LoraChanges.of(loras, component, expert, fused=fused)
    changed = changes.changed if changes else ()
    storage = storage_for(weights.quantize, component.weights, spread=spread, changed=changed)
    read = component.prepare(dtype=dtype, spread=storage, change=changes or as_stored)

    def fill(device: torch.device) -> WanTransformer3DModel:
        model = read(device)
        if changes is not None:
            changes.put_beside(model, dtype=dtype, device=device)
        set_attention(model, attention)
        return model

    return fill


def load_expert(
    checkpoint: Checkpoint, expert: Expert, *, dtype: torch.dtype, device: torch.device
) -> WanTransformer3DModel:
    """One denoiser on a device."""
    return prepare_expert(checkpoint, expert, dtype=dtype)(device)


def load_tokenizer(checkpoint: Checkpoint) -> PreTrainedTokenizerBase:
    """The tokenizer alone, which loads at once."""
    # asked by default on a terminal whether to run code of the folder
    return AutoTokenizer.from_pretrained(checkpoint.tokenizer_dir, trust_remote_code=False, local_files_only=True)


def text_encoder_files(checkpoint: Checkpoint) -> Sequence[Path]:
    """The weight files of umT5."""
    return _COMPONENTS[checkpoint.layout.name].text_encoder(checkpoint).weights.files


def load_text_encoder(
    checkpoint: Checkpoint,
    tokenizer: PreTrainedTokenizerBase,
    *,
    dtype: torch.dtype,
    device: torch.device,
    spread: Spread = WHOLE,
) -> TextEncoder:
    """umT5 behind its tokenizer."""
    component = _COMPONENTS[checkpoint.layout.name].text_encoder(checkpoint)
    model = component.build(dtype=dtype, device=device, spread=spread)
    return TextEncoder(model=model, tokenizer=tokenizer, text_len=checkpoint.text_len)


def load_vae(checkpoint: Checkpoint, *, device: torch.device, tiling: bool = False) -> VideoVAE:
    """The VAE in float32, as the official code runs it; ``tiling`` works on tiles of large frames, in less memory."""
    model = _COMPONENTS[checkpoint.layout.name].vae(checkpoint).build(dtype=torch.float32, device=device)
    if tiling:
        model.enable_tiling()
    return VideoVAE(model=model)


def load_image_encoder(checkpoint: Checkpoint, *, dtype: torch.dtype, device: torch.device) -> ImageEncoder:
    """CLIP's vision tower."""
    model = _COMPONENTS[checkpoint.layout.name].image_encoder(checkpoint).build(dtype=dtype, device=device)
    return ImageEncoder(model=model)


def silence_loading_bars() -> None:
    """Switch off the loading bars of diffusers and transformers in this process: they come between ours."""
    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
