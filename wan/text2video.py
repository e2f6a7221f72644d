"""WanT2V: text to video, with the official constructor and ``generate``, thin over the sampling core."""

import functools
import secrets
from collections.abc import Sequence

import torch
from torch import Tensor

from wan.configs import TaskConfig
from wan.errors import InvalidInput
from wan.loading.diffusers_layout import load_expert, load_text_encoder, load_vae
from wan.loading.layouts import find_checkpoint_dir, open_checkpoint
from wan.loading.vocabulary import read_vocabulary
from wan.models.denoiser import Evaluate, one_by_one
from wan.models.devices import DTYPES, pick_device
from wan.models.experts import ExpertPool
from wan.sampling.completion import completion_for
from wan.sampling.conditioning import TextOnly
from wan.sampling.geometry import geometry_for
from wan.sampling.guidance import Branch
from wan.sampling.loop import Contexts, sample
from wan.sampling.observers import ForwardCounter, Observer
from wan.sampling.plan import Plan
from wan.sampling.policies import make_plan
from wan.sampling.solvers import make_solver
from wan.settings import DEFAULT_TRUNCATION_MODE, SamplingSettings, frame_completion_name, guidance_scales


class WanT2V:
    """Text to video. Weights load when they are first needed, except that the checkpoint is checked at once."""

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
        device: str | None = None,
        dtype: str | None = None,
        evaluate: Evaluate = one_by_one,
    ) -> None:
        """The first ten parameters are the official ones; ``device`` and ``dtype`` override the automatic choice.

        Raises ``CheckpointError`` for a directory that lacks something, ``InvalidInput`` for what cannot be done.
        """
        _refuse_multi_gpu(rank=rank, t5_fsdp=t5_fsdp, dit_fsdp=dit_fsdp, use_sp=use_sp)
        self.config = config
        self.device = pick_device(device or (f"cuda:{device_id}" if torch.cuda.is_available() else None))
        self.dtype = DTYPES[dtype or config.param_dtype]
        self.forward_counter = ForwardCounter()
        self._checkpoint = open_checkpoint(config, find_checkpoint_dir(config, checkpoint_dir))
        self._text_device = torch.device("cpu") if t5_cpu else self.device
        self._text_encoder = load_text_encoder(self._checkpoint, dtype=self.dtype)
        self._vae = load_vae(self._checkpoint)
        self._load_expert = functools.cache(lambda expert: load_expert(self._checkpoint, expert, dtype=self.dtype))
        self._evaluate = evaluate

    def encode(self, prompt: str, negative_prompt: str = "") -> Contexts:
        """Text embeddings (1, T, D) per branch; an empty negative prompt means the task's default one."""
        texts = {Branch.COND: prompt, Branch.UNCOND: negative_prompt or self.config.sample_neg_prompt}
        self._text_encoder.model.to(self._text_device)
        return {branch: self._text_encoder.encode(text).to(self.device) for branch, text in texts.items()}

    def unknown_words(self, text: str) -> list[str]:
        """The words of ``text`` that this checkpoint's tokenizer does not know."""
        return self._text_encoder.unknown_words(text)

    def vocabulary(self) -> list[str]:
        """The words of a closed vocabulary."""
        return read_vocabulary(self._checkpoint.path)

    @torch.no_grad()
    def sample(
        self,
        plan: Plan,
        contexts: Contexts,
        *,
        seed: int,
        offload_model: bool = True,
        observers: Sequence[Observer] = (),
    ) -> Tensor:
        """Latents (C, F, h, w), float32, for a plan and a seed; the noise is drawn for all latent frames at once.

        ``offload_model`` moves an expert back to host memory when its stage ends.
        """
        generator = torch.Generator(device=self.device).manual_seed(seed)
        noise = torch.randn(plan.geometry.latent_shape(), generator=generator, device=self.device)
        latents = sample(
            plan,
            noise=noise[None],
            contexts=contexts,
            experts=self._expert_pool(offload_model),
            solver=make_solver(plan),
            conditioning=TextOnly(),
            completion=completion_for(plan.frame_completion),
            observers=observers,
        )
        return latents[0]

    def decode(self, latents: Tensor) -> Tensor:
        """Latents (C, F, h, w) to a video (3, N, H, W) in [-1, 1]."""
        self._vae.model.to(self.device)
        return self._vae.decode(latents.to(self.device))

    def generate(
        self,
        input_prompt: str,
        size: tuple[int, int] = (1280, 720),
        frame_num: int = 81,
        shift: float = 5.0,
        sample_solver: str = "unipc",
        sampling_steps: int = 50,
        guide_scale: float | tuple[float, float] = 5.0,
        n_prompt: str = "",
        seed: int = -1,
        offload_model: bool = True,
        *,
        cfg_truncate_steps: int = 0,
        cfg_truncate_high_noise_steps: int = 0,
        cfg_truncate_mode: str = DEFAULT_TRUNCATION_MODE,
        enable_half_frame_generation: bool = False,
        enable_improved_frame_completion: bool = False,
        observers: Sequence[Observer] = (),
    ) -> Tensor:
        """A video (3, N, H, W) in [-1, 1]; the official parameters, then the shortcuts (all off by default).

        ``size`` is (width, height) in pixels, ``guide_scale`` (low noise, high noise), ``seed`` -1 a random one;
        ``frame_num`` is brought to the nearest 4n+1. Raises ``InvalidInput`` for what cannot be planned.
        """
        low, high = guidance_scales(guide_scale)
        settings = SamplingSettings(
            solver=sample_solver,
            steps=sampling_steps,
            shift=shift,
            boundary=self.config.boundary,
            low_noise_guidance_scale=low,
            high_noise_guidance_scale=high,
            cfg_truncate_steps=cfg_truncate_steps,
            cfg_truncate_high_noise_steps=cfg_truncate_high_noise_steps,
            cfg_truncate_mode=cfg_truncate_mode,
            frame_completion=frame_completion_name(
                half_frame=enable_half_frame_generation, improved=enable_improved_frame_completion
            ),
        )
        plan = make_plan(settings, geometry_for(self.config, size=size, frame_num=frame_num))
        contexts = self.encode(input_prompt, n_prompt)
        seed = resolve_seed(seed)
        return self.decode(self.sample(plan, contexts, seed=seed, offload_model=offload_model, observers=observers))

    def _expert_pool(self, offload_model: bool) -> ExpertPool:
        return ExpertPool(
            self._load_expert,
            device=self.device,
            rest_device=torch.device("cpu") if offload_model else self.device,
            evaluate=self._evaluate,
            on_forward=self.forward_counter,
        )


def resolve_seed(seed: int) -> int:
    """A negative seed means a random one, as upstream."""
    return seed if seed >= 0 else secrets.randbelow(2**31)


def _refuse_multi_gpu(*, rank: int, t5_fsdp: bool, dit_fsdp: bool, use_sp: bool) -> None:
    asked = [name for name, value in {"t5_fsdp": t5_fsdp, "dit_fsdp": dit_fsdp, "use_sp": use_sp}.items() if value]
    if rank or asked:
        raise InvalidInput(
            f"{', '.join(asked) or f'rank={rank}'} needs several GPUs, which this version does not run on; leave it out"
        )
