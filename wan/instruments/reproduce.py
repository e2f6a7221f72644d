"""The generate.py command line that makes one run again, from its validated options."""

from wan.options import Options


def generate_argv(options: Options) -> list[str]:
    """``sys.argv`` of a generate.py call with the same plan, prompt and checkpoint; the record adds the seed."""
    settings, geometry = options.settings, options.geometry
    scales = [f"{settings.low_noise_guidance_scale:g}"]
    if options.config.has_two_experts:
        scales.append(f"{settings.high_noise_guidance_scale:g}")
    argv = ["generate.py", "--task", options.config.name, "--prompt", options.prompt]
    argv += ["--size", f"{geometry.width}*{geometry.height}", "--frame_num", str(geometry.pixel_frames)]
    argv += ["--sample_solver", settings.solver, "--sample_steps", str(settings.steps)]
    argv += ["--sample_shift", f"{settings.shift:g}", "--sample_guide_scale", *scales]
    if options.negative_prompt != options.config.sample_neg_prompt:
        argv += ["--negative_prompt", options.negative_prompt]
    for flag, value in (("--ckpt_dir", options.ckpt_dir), ("--device", options.device), ("--dtype", options.dtype)):
        argv += [flag, value] if value else []
    return argv + _shortcut_argv(options)


def _shortcut_argv(options: Options) -> list[str]:
    settings, argv = options.settings, []
    if settings.cfg_truncate_steps:
        argv += ["--cfg_truncate_steps", str(settings.cfg_truncate_steps)]
    if settings.cfg_truncate_high_noise_steps:
        argv += ["--cfg_truncate_high_noise_steps", str(settings.cfg_truncate_high_noise_steps)]
    if argv:
        argv += ["--cfg_truncate_mode", settings.cfg_truncate_mode]
    if settings.frame_completion is not None:
        argv += ["--enable_half_frame_generation", "--frame_completion", settings.frame_completion]
        argv += ["--frame_positions", settings.frame_positions]
    return argv
