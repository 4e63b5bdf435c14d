"""The keys of Deforum's settings files: what each may be, what it is when left out, and which are not acted upon.

Names and defaults are those of sd-webui-deforum (settings of 2023-08); older files' names stand in `FORMERLY`. Reading
them is for `settings`.
"""

from __future__ import annotations

from typing import Any

from generation.parameters import Parameter

MODES = ("3D", "2D", "Video Input", "Interpolation", "None")
SEEDS = ("iter", "fixed", "random", "ladder", "alternate", "schedule")
COHERENCES = ("LAB", "HSV", "RGB", "Image", "Video Input", "None")
FLOWS = ("None", "DIS Medium", "DIS Fine", "DIS Fast", "RAFT", "Farneback")
ENGINES = ("None", "RIFE v4.6", "FILM")
MOST_FRAMES = 1_000_000
UNITS = range(1, 6)  # of ControlNet


def _flag(name: str, default: bool, help: str) -> Parameter:
    return Parameter(name, "flag", default, help)


def _one(name: str, default: str, help: str, *choices: str) -> Parameter:
    return Parameter(name, "choice", default, help, choices=choices)


def _text(name: str, help: str, default: str = "") -> Parameter:
    return Parameter(name, "text", default, help)


def _unit(n: int) -> tuple[Parameter, ...]:
    """A unit of ControlNet."""
    return (
        _flag(f"cn_{n}_enabled", False, f"Control {n}: steer frames by pictures"),
        _text(f"cn_{n}_module", "What makes its condition of a picture", "none"),
        _text(f"cn_{n}_model", "Name or path of its network; None: the one that fits", "None"),
        _text(f"cn_{n}_vid_path", "A picture, or a video whose frames go along; none: what a frame starts from"),
        _flag(f"cn_{n}_loopback_mode", False, "Take what a frame starts from, whatever the path says"),
        _text(f"cn_{n}_weights", "File or folder of the network that makes the condition, where one does"),
        Parameter(f"cn_{n}_threshold_a", "number", 64.0, "Canny's low threshold"),
        Parameter(f"cn_{n}_threshold_b", "number", 64.0, "Canny's high threshold"),
        _text(f"cn_{n}_control_mode", "Balanced, or which of prompt and control matters more", "Balanced"),
        _text(f"cn_{n}_resize_mode", "How a picture of another shape is brought to size", "Inner Fit (Scale to Fit)"),
    )


VALUES: tuple[Parameter, ...] = (
    Parameter("W", "integer", 0, "Width in pixels; 0: the model's own", 0, 4096),
    Parameter("H", "integer", 0, "Height in pixels; 0: the model's own", 0, 4096),
    Parameter("seed", "integer", -1, "Seed of the first frame; -1 draws one", -1, 2**63 - 1),
    _text("sampler", "Sampler; none: the model's own"),
    Parameter("steps", "integer", 0, "Steps of a frame; 0: the model's own", 0, 1000),
    _text("model", "Name or path of the checkpoint"),
    _text("sd_model_name", "The checkpoint another program used"),
    _text("vae", "Another VAE"),
    Parameter("clip_skip", "integer", 1, "Last layer of the text encoder, A1111's count", 1, 12),
    _flag("tiling", False, "Edges that fit each other"),
    _text("batch_name", "Name of the video where no output is given"),
    _one("seed_behavior", "iter", "How the seed goes from frame to frame", *SEEDS),
    Parameter("seed_iter_N", "integer", 1, "Frames that share a seed", 1, MOST_FRAMES),
    _flag("use_init", False, "Begin with a picture"),
    Parameter("strength", "number", 0.8, "How much of that picture stays", 0.0, 1.0),
    _text("init_image", "The picture"),
    _flag("use_mask", False, "Change only what is white in a mask"),
    _flag("use_alpha_as_mask", False, "Take the picture's own opacity for the mask"),
    _text("mask_file", "The mask"),
    _flag("invert_mask", False, "Change what is black instead"),
    Parameter("mask_contrast_adjust", "number", 1.0, "The mask's contrast", 0.0, 100.0),
    Parameter("mask_brightness_adjust", "number", 1.0, "The mask's brightness", 0.0, 100.0),
    _flag("overlay_mask", True, "Lay what the mask keeps over the result"),
    Parameter("mask_overlay_blur", "number", 4.0, "Pixels over which its edge is softened", 0.0, 64.0),
    _one("reroll_blank_frames", "ignore", "What is done about a black frame", "ignore", "reroll", "interrupt"),
    Parameter("reroll_patience", "number", 10.0, "Times a black frame is made again", 0.0, 100.0),
    _flag("motion_preview_mode", False, "Warp only, without denoising"),
    _text("positive_prompts", "Added to each prompt"),
    _text("negative_prompts", "Added to each negative prompt"),
    _flag("blend_prompts", False, "Glide from one prompt to the next instead of changing at its frame"),
    _one("weighting", "compel", "How (word:1.2) acts", "compel", "a1111"),
    _one("animation_mode", "3D", "What moves", *MODES),
    Parameter("max_frames", "integer", 120, "Frames", 1, MOST_FRAMES),
    _one("border", "replicate", "What comes in from outside, in 2D", "replicate", "wrap"),
    _flag("enable_perspective_flip", False, "Turn the picture in space, in 2D"),
    _flag("enable_steps_scheduling", False, "Take the steps from their schedule"),
    _flag("enable_subseed_scheduling", False, "Mix in a second seed by its schedules"),
    _flag("enable_sampler_scheduling", False, "Take the sampler from its schedule"),
    _flag("enable_checkpoint_scheduling", False, "Take the checkpoint from its schedule"),
    _flag("enable_clipskip_scheduling", False, "Take clip skip from its schedule"),
    _flag("enable_noise_multiplier_scheduling", True, "Multiply each frame's noise by its schedule"),
    _one("color_coherence", "LAB", "What frame 0's colours are kept in", *COHERENCES),
    _text("color_coherence_image_path", "The picture whose colours are kept"),
    Parameter("color_coherence_video_every_N_frames", "integer", 1, "Frames of the video between looks", 1, 10_000),
    _flag("color_force_grayscale", False, "Frames without colour"),
    _flag("swap_channels", False, "Take red for blue while colours are matched, as Deforum does"),
    Parameter("diffusion_cadence", "integer", 2, "Every how many frames one is denoised", 1, 1000),
    _one("optical_flow_cadence", "None", "Follow the flow between denoised frames", *FLOWS),
    _one("optical_flow_redo_generation", "None", "Denoise once before, to follow the flow to it", *FLOWS),
    Parameter("diffusion_redo", "integer", 0, "Times a frame is denoised before it counts", 0, 50),
    _flag("use_noise_mask", False, "Put noise only where its mask is white"),
    _one("noise_type", "perlin", "Noise before denoising", "perlin", "uniform"),
    Parameter("perlin_octaves", "integer", 4, "Its octaves", 1, 8),
    Parameter("perlin_persistence", "number", 0.5, "Strength of each octave beside the one before", 0.0, 4.0),
    _flag("use_depth_warping", True, "Move by depth, in 3D; needs depth_model"),
    _text("depth_model", "Folder of a depth model in transformers' layout; none: a plane"),
    _one("padding_mode", "border", "What comes in from outside, in 3D", "border", "reflection", "zeros"),
    _one("sampling_mode", "bicubic", "How pixels are moved, in 3D", "bicubic", "bilinear", "nearest"),
    _text("video_init_path", "A video: what frames are made of, or mixed with"),
    Parameter("extract_nth_frame", "integer", 1, "Every how many of its frames one is taken", 1, 10_000),
    Parameter("extract_from_frame", "integer", 0, "Its first frame", 0, MOST_FRAMES),
    Parameter("extract_to_frame", "integer", -1, "Its last frame; -1: to its end", -1, MOST_FRAMES),
    _flag("use_mask_video", False, "Take each frame's mask from a video"),
    _text("video_mask_path", "The video of masks"),
    _flag("hybrid_use_first_frame_as_init_image", True, "Begin with the video's first frame"),
    _one("hybrid_motion", "None", "Move as the video does", "None", "Optical Flow", "Perspective", "Affine"),
    _flag("hybrid_flow_consistency", False, "Leave out flow that does not lead back"),
    Parameter("hybrid_consistency_blur", "number", 2.0, "Pixels over which that is softened", 0.0, 64.0),
    _one("hybrid_flow_method", "DIS Medium", "How flow is found", *FLOWS),
    _one("hybrid_composite", "None", "Mix the video in", "None", "Normal", "Before Motion", "After Generation"),
    _one("hybrid_comp_mask_type", "None", "Where", "None", "Depth", "Video Depth", "Blend", "Difference"),
    _flag("hybrid_comp_mask_inverse", False, "Elsewhere instead"),
    _one(
        "hybrid_comp_mask_equalize",
        "None",
        "Spread its values",
        "None",
        "Before",
        "After",
        "Both",
    ),
    _flag("hybrid_comp_mask_auto_contrast", False, "Stretch that mask's contrast"),
    _flag("use_looper", False, "Lead the animation from picture to picture"),
    _text("init_images", 'The pictures by frame: {"0": "one.png", "max_f/2": "two.png"}'),
    *(parameter for n in UNITS for parameter in _unit(n)),
    _text("parseq_manifest", "A file of Parseq's: its values stand for the schedules"),
    _flag("parseq_use_deltas", True, "Take its motion from frame to frame"),
    _text("walk_seeds", "Seeds of a walk's prompts: 5, 9, 12; those not named go on by one"),
    _flag("walk_loop", False, "A walk that ends where it began"),
    _text("walk_audio", "A sound whose beats a walk goes by; needs the extra audio"),
    Parameter("fps", "number", 15.0, "Frames a second", 0.1, 240.0),
    _flag("skip_video_creation", False, "Frames alone, no video"),
    _flag("make_gif", False, "A GIF beside the video"),
    _flag("delete_imgs", False, "Take the frames away when the video is there"),
    _one("add_soundtrack", "None", "Sound", "None", "File", "Init Video"),
    _text("soundtrack_path", "The file it is in"),
    _flag("r_upscale_video", False, "A larger video beside the video"),
    _one("r_upscale_factor", "x2", "How many times larger", "x2", "x3", "x4"),
    _text("r_upscale_model", "By which network; what is not here is lanczos", "realesr-animevideov3"),
    _one("frame_interpolation_engine", "None", "A video with frames put in between", *ENGINES),
    Parameter("frame_interpolation_x_amount", "integer", 2, "How many times more frames", 2, 1000),
    _flag("frame_interpolation_slow_mo_enabled", False, "Slower instead of smoother"),
    Parameter("frame_interpolation_slow_mo_amount", "integer", 2, "How many times slower", 2, 10),
    _flag("frame_interpolation_use_upscaled", False, "Of the larger video"),
    _text("frame_interpolation_network", "The file of RIFE or FILM; none: optical flow"),
)

# Schedules of numbers -> their values where a file has none.
SCHEDULES = {
    "angle": "0: (0)",
    "zoom": "0: (1.0025+0.002*sin(1.25*3.14*t/30))",
    "translation_x": "0: (0)",
    "translation_y": "0: (0)",
    "translation_z": "0: (1.75)",
    "transform_center_x": "0: (0.5)",
    "transform_center_y": "0: (0.5)",
    "rotation_3d_x": "0: (0)",
    "rotation_3d_y": "0: (0)",
    "rotation_3d_z": "0: (0)",
    "perspective_flip_theta": "0: (0)",
    "perspective_flip_phi": "0: (0)",
    "perspective_flip_gamma": "0: (0)",
    "perspective_flip_fv": "0: (53)",
    "noise_schedule": "0: (0.065)",
    "strength_schedule": "0: (0.65)",
    "contrast_schedule": "0: (1.0)",
    "cfg_scale_schedule": "",
    "steps_schedule": "0: (25)",
    "fov_schedule": "0: (70)",
    "aspect_ratio_schedule": "0: (1)",
    "near_schedule": "0: (200)",
    "far_schedule": "0: (10000)",
    "seed_schedule": '0:(s), 1:(-1), "max_f-2":(-1), "max_f-1":(s)',
    "subseed_schedule": "0: (1)",
    "subseed_strength_schedule": "0: (0)",
    "clipskip_schedule": "0: (2)",
    "noise_multiplier_schedule": "0: (1.05)",
    "amount_schedule": "0: (0.1)",
    "kernel_schedule": "0: (5)",
    "sigma_schedule": "0: (1)",
    "threshold_schedule": "0: (0)",
    "cadence_flow_factor_schedule": "0: (1)",
    "redo_flow_factor_schedule": "0: (1)",
    "image_strength_schedule": "0:(0.75)",
    "blendFactorMax": "0:(0.35)",
    "blendFactorSlope": "0:(0.25)",
    "tweening_frames_schedule": "0:(20)",
    "color_correction_factor": "0:(0.075)",
    "hybrid_comp_alpha_schedule": "0:(0.5)",
    "hybrid_comp_mask_blend_alpha_schedule": "0:(0.5)",
    "hybrid_comp_mask_contrast_schedule": "0:(1)",
    "hybrid_comp_mask_auto_contrast_cutoff_high_schedule": "0:(100)",
    "hybrid_comp_mask_auto_contrast_cutoff_low_schedule": "0:(0)",
    "hybrid_flow_factor_schedule": "0:(1)",
    **{
        f"cn_{n}_{name}": f"0:({value})"
        for n in UNITS
        for name, value in (("weight", "1"), ("guidance_start", "0.0"), ("guidance_end", "1.0"))
    },
}
# Schedules of names, and of masks put together.
WORDS = {
    "sampler_schedule": '0: ("Euler a")',
    "checkpoint_schedule": "",
    "mask_schedule": '0: ("{video_mask}")',
    "noise_mask_schedule": '0: ("{video_mask}")',
}
# Switches in the file that decide whether a schedule is looked at.
SWITCHED = {
    "steps_schedule": "enable_steps_scheduling",
    "subseed_schedule": "enable_subseed_scheduling",
    "subseed_strength_schedule": "enable_subseed_scheduling",
    "sampler_schedule": "enable_sampler_scheduling",
    "checkpoint_schedule": "enable_checkpoint_scheduling",
    "clipskip_schedule": "enable_clipskip_scheduling",
    "noise_multiplier_schedule": "enable_noise_multiplier_scheduling",
    "noise_mask_schedule": "use_noise_mask",
    "image_strength_schedule": "use_looper",
    "blendFactorMax": "use_looper",
    "blendFactorSlope": "use_looper",
    "tweening_frames_schedule": "use_looper",
    "color_correction_factor": "use_looper",
    **{f"cn_{n}_{name}": f"cn_{n}_enabled" for n in UNITS for name in ("weight", "guidance_start", "guidance_end")},
}
# Switches of what most animations are without: a list of schedules has theirs where they are on.
RARE = frozenset({"use_looper", "use_noise_mask", *(f"cn_{n}_enabled" for n in UNITS)})
# What other programs write and Atelier keeps without acting on it -> the value at which there is nothing to say.
KEPT: dict[str, Any] = {
    "restore_faces": False,
    "enable_ddim_eta_scheduling": False,
    "enable_ancestral_eta_scheduling": False,
    "hybrid_generate_human_masks": "None",
    "hybrid_motion_use_prev_img": False,
    "save_depth_maps": False,
}
# Flows of other programs, in whose place DIS is, and the settings of them that act where another one is not as said.
OTHER_FLOWS = ("RAFT", "Farneback")
FLOWING = {
    "optical_flow_cadence": ("diffusion_cadence", 1),
    "optical_flow_redo_generation": ("", None),
    "hybrid_flow_method": ("hybrid_motion", "None"),
}
# The rest, which nothing in a frame depends on; near and far planes change no warp in Deforum either.
SILENT = frozenset(
    """show_info_on_ui seed_resize_from_w seed_resize_from_h strength_0_no_init fill full_res_mask full_res_mask_padding
    aspect_ratio_use_old_formula pix2pix_img_cfg_scale_schedule pix2pix_img_cfg_scale resume_from_timestring
    resume_timestring ddim_eta_schedule ancestral_eta_schedule legacy_colormatch midas_weight depth_algorithm
    overwrite_extracted_frames hybrid_generate_inputframes hybrid_use_init_image hybrid_comp_save_extra_frames
    delete_input_frames r_upscale_keep_imgs store_frames_in_ram ddim_eta frame_interpolation_keep_imgs sd_model_hash
    deforum_git_commit_id seed_enable_extras subseed subseed_strength perlin_w perlin_h save_samples save_settings
    display_samples n_batch n_samples precision prompt timestring outdir filename_format ffmpeg_location ffmpeg_crf
    ffmpeg_preset ffmpeg_mode ffmpeg_outdir image_path mp4_path render_steps path_name_modifier max_video_frames
    skip_video_for_run_all use_manual_settings parseq_non_schedule_overrides""".split()
)
# Names of older files.
FORMERLY = {
    "animation_prompts": "prompts",
    "animation_prompts_positive": "positive_prompts",
    "animation_prompts_negative": "negative_prompts",
    "scale": "cfg_scale_schedule",
    "fov": "fov_schedule",
    "near": "near_schedule",
    "far": "far_schedule",
    "aspect_ratio": "aspect_ratio_schedule",
    "width": "W",
    "height": "H",
    "flip_2d_perspective": "enable_perspective_flip",
    "video_init": "video_init_path",
}
# Samplers by the names that k-diffusion's notebooks gave them.
SAMPLERS = {
    "euler_ancestral": "Euler a",
    "euler": "Euler",
    "klms": "LMS",
    "heun": "Heun",
    "dpm2": "DPM2",
    "dpm2_ancestral": "DPM2 a",
    "ddim": "DDIM",
    "plms": "PLMS",
}
