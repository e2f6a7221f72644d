"""A task's denoisers in their real size with random weights, made on the device: right for time and memory only."""

from collections.abc import Callable, Mapping, Sequence

import torch
from accelerate import init_empty_weights
from diffusers import WanTransformer3DModel
from torch import Tensor, nn

from wan.configs import TaskConfig
from wan.models.attention import check_attention, set_attention
from wan.models.devices import explained_out_of_memory
from wan.models.engine import EXACT, Engine
from wan.models.experts import DroppedExperts, ExpertPool, ExpertStore, Fill, KeptExperts, Prepare
from wan.models.plan_cache import cache_of
from wan.sampling.completion import completion_for
from wan.sampling.conditioning import ImageChannels, LatentInput, TextOnly, image_channels
from wan.sampling.geometry import Geometry
from wan.sampling.guidance import Branch
from wan.sampling.loop import begin, sample
from wan.sampling.observers import ForwardCounter, Observer, StepTimer
from wan.sampling.plan import Expert, Plan, excerpt
from wan.sampling.solvers import make_solver

_FREQ_DIM = 256  # of every published Wan denoiser
_SEEDS: Mapping[Expert, int] = {expert: index for index, expert in enumerate(Expert)}

# none: both experts stay on the device; expert: one is there at a time, made anew for each of its stages
STORES: Mapping[str, Callable[..., ExpertStore]] = {"none": KeptExperts, "expert": DroppedExperts}


class RandomModel:
    """Samples any plan of its task and shape through the product's own loop; its videos are noise."""

    def __init__(
        self,
        config: TaskConfig,
        geometry: Geometry,
        *,
        device: torch.device,
        dtype: torch.dtype,
        attention: str = "auto",
        offload: str = "none",
    ) -> None:
        """``config`` with another ``num_layers`` than the published one makes a shallower model."""
        check_attention(attention, device=device, dtype=dtype)
        generator = torch.Generator(device=device).manual_seed(0)
        shape = (1, config.text_len, config.text_dim)
        self.device = device
        self.forward_counter = ForwardCounter()
        self._contexts = {branch: torch.randn(shape, generator=generator, device=device) for branch in Branch}
        self._noise = torch.randn(1, *geometry.latent_shape(), generator=generator, device=device)
        self._latent_input = _latent_input(config, self._noise)
        self._store = STORES[offload](random_experts(config, dtype=dtype, attention=attention), device=device)

    @explained_out_of_memory()
    @torch.no_grad()
    def sample(self, plan: Plan, observers: Sequence[Observer] = (), *, engine: Engine = EXACT) -> Tensor:
        """Latents (1, C, F, h, w)."""
        cache = cache_of(plan)
        return sample(
            plan,
            begin(plan, noise=self._noise, solver=make_solver(plan), latent_input=self._latent_input),
            contexts=self._contexts,
            experts=ExpertPool(
                self._store,
                steps=len(plan.steps),
                evaluate=engine.evaluate,
                count=self.forward_counter,
                wrap=cache.wrap,
                cache=cache.network,
                set_up=engine.set_up,
            ),
            latent_input=self._latent_input,
            completion=completion_for(plan.frame_completion),
            observers=observers,
        )

    def step_seconds(self, plan: Plan, *, engine: Engine = EXACT) -> list[float]:
        """Seconds of every step: denoiser, guidance and solver; making weights and completing frames are not in it."""
        timer = StepTimer(device=self.device)
        self.sample(plan, [timer], engine=engine)
        return timer.step_seconds

    def warm_up(self, plan: Plan, *, engine: Engine = EXACT) -> None:
        """The first step of every stage: the experts come to the device, every shape is met once."""
        self.sample(excerpt(plan, (stage.steps[0] for stage in plan.stages)), engine=engine)


def random_experts(config: TaskConfig, *, dtype: torch.dtype, attention: str) -> Prepare:
    """Experts of the task's size. Constant weights would not do: a GPU draws less power on them and runs faster."""

    def prepare(expert: Expert) -> Fill:
        with init_empty_weights(include_buffers=False):
            model = empty_denoiser(config)

        def fill(device: torch.device) -> WanTransformer3DModel:
            generator = torch.Generator(device=device).manual_seed(_SEEDS[expert])
            weights = {
                name: nn.Parameter(_random(name, tensor.shape, _dtype_of(name, dtype), generator), requires_grad=False)
                for name, tensor in model.state_dict().items()
            }
            model.load_state_dict(weights, assign=True)
            set_attention(model, attention)
            return model.to(device).eval().requires_grad_(False)

        return fill

    return prepare


def empty_denoiser(config: TaskConfig) -> WanTransformer3DModel:
    """The denoiser of a task, as its published checkpoint describes it; its weights are not set."""
    return WanTransformer3DModel(
        patch_size=config.patch_size,
        num_attention_heads=config.num_heads,
        attention_head_dim=config.dim // config.num_heads,
        in_channels=config.in_channels,
        out_channels=config.latent_channels,
        text_dim=config.text_dim,
        freq_dim=_FREQ_DIM,
        ffn_dim=config.ffn_dim,
        num_layers=config.num_layers,
    )


def _latent_input(config: TaskConfig, noise: Tensor) -> LatentInput:
    """Image to video by channels gets random image latents; everything else starts from text alone."""
    if config.in_channels == config.latent_channels:
        return TextOnly()
    return ImageChannels(image_channels(noise[0], temporal_stride=config.vae_stride[0])[None])


def _random(name: str, shape: torch.Size, dtype: torch.dtype, generator: torch.Generator) -> Tensor:
    """Matrices keep the variance of what passes through them, norms and biases are neutral: nothing overflows."""
    if len(shape) == 1:
        return torch.full(shape, float(name.endswith("weight")), dtype=dtype, device=generator.device)
    fan_in = shape[1:].numel()
    return torch.empty(shape, dtype=dtype, device=generator.device).normal_(std=fan_in**-0.5, generator=generator)


def _dtype_of(name: str, dtype: torch.dtype) -> torch.dtype:
    is_kept = any(word in WanTransformer3DModel._keep_in_fp32_modules for word in name.split("."))
    return torch.float32 if is_kept else dtype
