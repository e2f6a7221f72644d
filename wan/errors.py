"""The errors that a caller or a user can meet, each with one sentence that names value, rule and fix."""


class WanError(Exception):
    """Base of every error that this package raises on purpose."""


class InvalidInput(WanError, ValueError):
    """What a user asked for cannot be done: the sentence names the value, the rule and the fix (exit code 2)."""


class CheckpointError(InvalidInput):
    """A checkpoint directory is missing, incomplete or not the one that the task needs (exit code 2)."""


class OutOfMemory(WanError):
    """The device's memory does not suffice; the sentence names what makes a run smaller (exit code 1)."""


class NumericalError(WanError, ArithmeticError):
    """A step produced a value that is not finite; the sentence names the step and the expert (exit code 1)."""


class ExtensionFailed(WanError):
    """A prompt could not be extended: a service or a model failed, or answered with no prompt (exit code 1)."""
