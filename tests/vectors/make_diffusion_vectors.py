"""Make diffusion_diffusers.json: what the schedulers of Hugging Face's diffusers answer, in float64.

It is not installed with the project. Beside torch:

    pip install --no-deps diffusers==0.42.1 huggingface_hub
    python tests/vectors/make_diffusion_vectors.py

Its previous step is t - T // count, so steps are visited with "leading" spacing, where that is also the next one.
"""

import json
from pathlib import Path

import torch
from diffusers import DDIMScheduler, DDPMScheduler, __version__

T, COUNT = 40, 8
generator = torch.Generator().manual_seed(0)


def draw(*shape):
    return (torch.randn(shape, generator=generator, dtype=torch.float64) * 16).round() / 16


betas = {"cosine": DDPMScheduler(T, beta_schedule="squaredcos_cap_v2").betas.double()}
betas["linear"] = DDPMScheduler(T, 1000 / T * 1e-4, 1000 / T * 0.02).betas.double()
x, output, noise = draw(3, 2), draw(3, 2), draw(3, 2)
cases = []
for schedule, found in betas.items():
    for kind, name in (("noise", "epsilon"), ("picture", "sample"), ("v", "v_prediction")):
        for clip in (False, True):
            options = {"trained_betas": found.numpy(), "prediction_type": name, "clip_sample": clip}
            ddim = DDIMScheduler(T, timestep_spacing="leading", set_alpha_to_one=True, steps_offset=0, **options)
            ddim.set_timesteps(COUNT)
            for t in (35, 10, 0):
                for eta in (0.0, 0.5, 1.0):
                    made = ddim.step(
                        output, t, x, eta=eta, variance_noise=noise, use_clipped_model_output=True
                    ).prev_sample
                    cases.append({"way": "ddim", "schedule": schedule, "given": kind, "clip": clip, "t": t, "eta": eta,
                                  "previous": max(t - T // COUNT, -1), "x": made.tolist()})  # fmt: skip
            for variance in ("small", "large"):
                ddpm = DDPMScheduler(T, variance_type=f"fixed_{variance}", **options)
                for t in (39, 10, 1, 0):
                    made = ddpm.step(output, t, x, generator=torch.Generator().manual_seed(t)).prev_sample
                    drawn = torch.randn(x.shape, generator=torch.Generator().manual_seed(t), dtype=x.dtype)
                    cases.append({"way": "ddpm", "schedule": schedule, "given": kind, "clip": clip, "t": t,
                                  "variance": variance, "previous": t - 1, "noise": drawn.tolist(),
                                  "x": made.tolist()})  # fmt: skip
spacings = {}
for spacing in ("linspace", "trailing", "leading"):
    ddim = DDIMScheduler(T, timestep_spacing=spacing)
    ddim.set_timesteps(COUNT)
    spacings[spacing] = ddim.timesteps.tolist()
record = {
    "diffusers": __version__, "steps": T, "count": COUNT, "input": x.tolist(), "output": output.tolist(),
    "noise": noise.tolist(), "alpha_bar": {name: (1 - found).cumprod(0).tolist() for name, found in betas.items()},
    "spacings": spacings, "cases": cases,
}  # fmt: skip
Path(__file__).with_name("diffusion_diffusers.json").write_text(json.dumps(record) + "\n")
