"""A fitted solver step as data: the weights with which a step combines what the run knows into its next latents."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class LinearUpdate:
    """x_next = noise * eps + sum_j denoised[j] * x0_j + sum_j differences[j] * sigma_j D_j.

    eps is the run's initial noise; x0_j = x_j - sigma_j v_j the guided denoised estimate of step j, D_j its difference
    between the conditional and the unconditional velocity, for j from the first step of the run to this one. With the
    data prediction x0 every linear multistep solver has this form: of the exact solution (Lu et al. 2022, eq. 3.4)

        x(s') = (s' / s) x(s) + s' * integral of x0(s) / s^2 from s' to s

    follows a weight of s' on the noise and weights on the estimates that sum to 1 - s'. The weights are free here: they
    are fitted to recorded trajectories (``wan.tune``), so that a long step lands where many short ones would.
    """

    noise: float
    denoised: tuple[float, ...]
    differences: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.denoised) != len(self.differences):
            raise ValueError(
                f"{len(self.denoised)} weights of denoised estimates and {len(self.differences)} of differences: "
                "there must be one of each for every step so far"
            )
