"""Progress of loading: the libraries' own bars, which would come between ours and ``--quiet``, can be switched off."""

from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging


def silence_loading_bars() -> None:
    """Switch off the loading bars of diffusers and transformers for this process."""
    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
