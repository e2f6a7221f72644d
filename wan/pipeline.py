"""What the entry classes share: the official constructor, text encoding, sampling and decoding of one checkpoint."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import ClassVar, Unpack

import torch
from PIL import Image
from torch import Tensor

from wan.conditioned import TEXT_ONLY, Conditioning
from wan.configs import TaskConfig
from wan.errors import InvalidInput
from wan.limits import resolve_seed
from wan.loading.layouts import Checkpoint
from wan.loading.lora_files import lora_notices
from wan.loading.models import check_weights, load_image_encoder
from wan.loading.vocabulary import read_vocabulary
from wan.models.attention import check_attention
from wan.models.cache import WrapDenoiser, as_it_is
from wan.models.devices import DTYPES, explained_out_of_memory, pick_device
from wan.models.engine import EXACT, Engine
from wan.models.experts import ExpertPool
from wan.models.network_cache import CacheNetwork, uncached
from wan.models.plan_cache import cache_of
from wan.models.text import unknown_words
from wan.parallel.crew import crew_of
from wan.parallel.official import official_team
from wan.parallel.team import Team
from wan.pipeline_args import SamplingArgs
from wan.pipeline_checks import (
    at_least,
    checked_loras,
    checked_texts,
    input_notices,
    opened_for,
    refuse_offload,
    refuse_other_entry,
    warn,
)
from wan.pipeline_parts import Parts
from wan.planning.choose import plan_run
from wan.sampling.completion import Completion, completion_for
from wan.sampling.geometry import Geometry
from wan.sampling.guard import CollapseGuard
from wan.sampling.guidance import Branch
from wan.sampling.loop import begin, sample
from wan.sampling.observers import ForwardCounter, Observer
from wan.sampling.plan import Plan
from wan.sampling.protocols import Contexts, Experts
from wan.sampling.snapshot import Snapshot
from wan.sampling.solvers import Solver, make_solver
from wan.settings import settings_from
from wan.shortcuts import ShortcutArgs, shortcuts_from
from wan.weight_options import WeightOptions

CPU = torch.device("cpu")


class Pipeline:
    """One checkpoint, checked at once; an expert is read when its stage begins and dropped when the stage ends."""

    entry: ClassVar[str]

    def __init__(
        self,
        config: TaskConfig,
        checkpoint_dir: str | None = None,
        device_id: int = 0,
        rank: int = 0,
        t5_fsdp: bool = False,
        dit_fsdp: bool = False,
        use_sp: bool = False,
        t5_cpu: bool = False,
        init_on_cpu: bool = True,
        convert_model_dtype: bool = False,
        *,
        checkpoint: Checkpoint | None = None,
        device: str | torch.device | None = None,
        dtype: str | None = None,
        engine: Engine = EXACT,
        offload: str | None = None,
        attention: str = "auto",
        vae_tiling: bool = False,
        text_cache: Path | None = None,
        prefetch_gib: float | None = None,
        weights: WeightOptions = WeightOptions(),
        team: Team | None = None,
    ) -> None:
        """The first ten parameters are the official ones; ``device`` and ``dtype`` override the automatic choice.

        ``checkpoint``: an opened one. ``offload`` (none, expert, group) overrides ``offload_model`` of ``generate``;
        ``text_cache``: a folder; ``engine``: how forwards are computed; ``prefetch_gib``: see ``may_prefetch``;
        ``weights``: LoRA files, and how weights are stored; ``team``: the processes that share the work, instead of
        ``rank``, ``use_sp``, ``*_fsdp``. ``init_on_cpu`` and ``convert_model_dtype`` change nothing. Raises
        ``CheckpointError`` for a directory that lacks something, ``InvalidInput`` for what cannot be done.
        """
        refuse_other_entry(config, self.entry)
        self.config, self.forward_counter = config, ForwardCounter()
        self._engine, self._turn, self._asked_offload, self._offload = engine, Lock(), offload, offload or "expert"
        self.device = pick_device(device or (f"cuda:{device_id}" if torch.cuda.is_available() else None))
        self.dtype = DTYPES[dtype or config.param_dtype]
        refuse_offload(offload, self.device)
        check_attention(attention, device=self.device, dtype=self.dtype)
        engine.check(self.device, offload=offload)
        self.team = team or official_team(rank, t5_fsdp, dit_fsdp, use_sp, device=self.device)
        self._checkpoint = checkpoint or opened_for(config, checkpoint_dir, weights)
        check_weights(self._checkpoint)
        self._crew = crew_of(self.team, heads=self._checkpoint.denoiser_size.num_heads)
        self._loras = checked_loras(weights, self._checkpoint, self.device, self._crew.is_spread, engine.compile)
        parts = Parts(self._checkpoint, self.team, self._crew, self.dtype, self.device)
        self._texts = parts.texts(CPU if t5_cpu else self.device, cache_dir=text_cache)
        self._vae = parts.vae(tiling=vae_tiling)
        self._experts = parts.experts(attention, prefetch_gib, loras=self._loras, weights=weights)

    def encode(self, prompt: str, negative_prompt: str = "", *, offload: str | None = None) -> Contexts:
        """Text embeddings (1, T, D) per branch; an empty negative prompt means the task's default one.

        Unless ``offload`` (default: the constructor's) is none, the text encoder is dropped afterwards, and the next
        call reads it again.
        """
        texts = {Branch.COND: prompt, Branch.UNCOND: negative_prompt or self.config.sample_neg_prompt}
        found = self.embed(texts.values(), offload=offload)
        return {branch: found[text] for branch, text in texts.items()}

    @explained_out_of_memory()
    def embed(self, texts: Iterable[str], *, offload: str | None = None) -> dict[str, Tensor]:
        """The embeddings (1, T, D) of each text; the encoder is dropped afterwards, as ``encode`` says."""
        with self._turn:
            found = self._crew.encoded(lambda: {text: self._texts.embed(text).to(self.device) for text in texts})
            if (offload or self._offload) != "none":
                self._texts.drop()
        return found

    def condition(self, image: Image.Image | None, geometry: Geometry) -> Conditioning:
        """What the image conditions; ``InvalidInput`` when the task takes none, or needs one."""
        if image is not None:
            raise InvalidInput(f"{self.config.name} makes videos from text alone; leave the image out")
        return TEXT_ONLY

    def conditioning(self, image: Image.Image | None, geometry: Geometry) -> Conditioning:
        """The same on every rank, encoded by rank 0."""
        return self.team.from_leader(lambda: self.condition(image, geometry))

    def sample(self, plan: Plan, contexts: Contexts, *, seed: int, **how: Unpack[SamplingArgs]) -> Tensor:
        """Latents (C, F, h, w), float32, for a plan and a seed; the noise is drawn for all latent frames at once.

        The rest is as in ``sample_batch``.
        """
        noise = self.team.from_leader(lambda: self.noise(plan.geometry, seed))
        return self.sample_batch(plan, contexts, noise=noise[None], **how)[0]

    def noise(self, geometry: Geometry, seed: int) -> Tensor:
        """The noise (C, L, h, w) that a seed means."""
        generator = torch.Generator(device=self.device).manual_seed(seed)
        return torch.randn(geometry.latent_shape(), generator=generator, device=self.device)

    @explained_out_of_memory()
    @torch.no_grad()
    def sample_batch(
        self,
        plan: Plan,
        contexts: Contexts,
        *,
        noise: Tensor,
        conditioning: Conditioning = TEXT_ONLY,
        offload: str | None = None,
        observers: Sequence[Observer] = (),
        wrap: WrapDenoiser = as_it_is,
        cache: CacheNetwork | None = None,
        completion: Completion | None = None,
        engine: Engine | None = None,
        solver: Solver | None = None,
        start: Snapshot | None = None,
    ) -> Tensor:
        """Latents (B, C, F, h, w), float32, for noise (B, C, L, h, w) and text embeddings (B, T, D) per branch.

        ``offload`` (default: the constructor's): see ``wan.models.experts``. ``wrap`` puts a cache around the denoisers
        (``wan.models.cache``); ``cache`` on their networks (``wan.models.network_cache``), ``completion``, ``solver``
        stand in for the plan's, ``engine`` for the constructor's. ``start``: where an interrupted run goes on.
        """
        planned, mode = cache_of(plan, agreement=self._crew.agreement(plan)), offload or self._offload
        network = cache or planned.network
        engine = (engine or self._engine).for_run(mode, cached=network is not uncached, spread=self._crew.is_spread)
        shares = self._crew.shares(plan, engine.evaluate, network, dtype=self.dtype, counter=self.forward_counter)
        left = plan if start is None else start.remaining(plan)
        experts: Experts = ExpertPool(
            store := self._experts.of_run(mode, left.stages),
            steps=plan.steps[-1].index + 1,
            evaluate=shares.evaluate,
            count=self.forward_counter,
            bind=conditioning.bind,
            wrap=shares.wrap(lambda denoiser: wrap(planned.wrap(denoiser))),
            cache=shares.network,
            set_up=engine.set_up,
        )
        state = begin(plan, noise=noise, solver=solver or make_solver(plan), latent_input=conditioning.latent_input)
        if start is not None:
            state, experts = start.sampler_state(state.solver), start.experts(experts, plan)
        with self._turn:
            return sample(
                left,
                state,
                contexts=contexts,
                experts=experts,
                latent_input=conditioning.latent_input,
                completion=completion or completion_for(plan.frame_completion),
                observers=[*observers, *store.observers],
            )

    def hold_last_expert(self) -> None:
        """With ``--offload expert``, too, the expert of a run's end stays in memory until the other one is needed."""
        self._experts.hold_last()

    def decode(self, latents: Tensor) -> Tensor:
        """Latents (C, F, h, w) to a video (3, N, H, W) in [-1, 1]."""
        with explained_out_of_memory(), self._turn:  # the VAE remembers frames while it decodes
            return self._vae().decode(latents.to(self.device))

    def decode_frames(self, latents: Tensor) -> Iterator[Tensor]:
        """The same piece by piece, (3, n, H, W): memory does not grow with the length of the video."""
        with explained_out_of_memory(), self._turn:
            yield from self._vae().frames(latents.to(self.device))

    def unknown_words(self, text: str) -> list[str]:
        """The words of ``text`` that this checkpoint's tokenizer does not know."""
        return unknown_words(self._texts.tokenizer, text)

    def vocabulary(self) -> list[str]:
        """The words of a closed vocabulary."""
        return read_vocabulary(self._checkpoint.path)

    def _make(
        self,
        prompt: str,
        negative_prompt: str,
        *,
        geometry: Geometry,
        solver: str,
        steps: int,
        shift: float,
        guide_scale: float | tuple[float, float],
        shortcuts: ShortcutArgs,
        image: Image.Image | None = None,
        seed: int,
        offload_model: bool,
        observers: Sequence[Observer],
    ) -> Tensor:
        """What every ``generate`` does once it knows the video's shape: a video (3, N, H, W); None on other ranks than
        0, as in the official code."""
        offload = self._asked_offload or ("expert" if offload_model else "none")
        texts, seed = checked_texts(prompt, negative_prompt or self.config.sample_neg_prompt), resolve_seed(seed)
        settings = settings_from(
            self.config,
            solver=solver,
            steps=steps,
            shift=shift,
            guide_scale=guide_scale,
            shortcuts=shortcuts_from(shortcuts),
            has_image=image is not None,
        )
        plan = plan_run(self.config, settings, geometry, ckpt_dir=self._checkpoint.path)
        for notice in (
            *lora_notices(self._loras, settings),
            *plan.notices,
            *input_notices(self._texts, self.device, texts, seed),
        ):
            warn(notice)
        conditioning = self.conditioning(image, geometry)
        contexts = self.encode(*texts.values(), offload=offload)
        latents = self.sample(
            plan,
            contexts,
            seed=seed,
            conditioning=conditioning,
            offload=offload,
            observers=[CollapseGuard(plan, warn), *observers],
        )
        return self.decode(latents) if self.team.leads else None  # type: ignore[return-value]

    def _encode_video(self, video: Tensor) -> Tensor:
        """A video (3, N, H, W) in [-1, 1] to normalised latents (C, F, h, w)."""
        with self._turn:
            return self._vae().encode(video.to(self.device))

    def _encode_image(self, pixels: Tensor) -> Tensor:
        """An image (3, H, W) in [-1, 1] to CLIP features (1, N, D); the encoder is dropped."""
        dtype = at_least(torch.float16, self.dtype)
        return load_image_encoder(self._checkpoint, dtype=dtype, device=self.device).encode(pixels.to(self.device))
