"""What a network hears in its diffusers pipeline, and what it hears from us, step by step.

A pipeline draws an image from known noise in a few steps, without guidance. We start from the same
noise and make each step by ourselves, from what our denoiser says: sign, time, scale, packing, ids
and masks must agree for the network to hear the same at the second step and after it.
"""

import inspect
from itertools import pairwise

import torch
from diffusers import DDIMScheduler
from folders import load

from diffclf_lightning.denoisers import FlowMatching
from diffclf_lightning.evaluation import Noised, Prediction

STEPS, SEED = 3, 7
SILENT = {"return_dict", "joint_attention_kwargs", "cross_attention_kwargs", "attention_kwargs"}


def heard(network, call):
    """Arguments of the network by name, of each of its calls."""
    calls, signature = [], inspect.signature(network.forward)

    def keep(_, args, kwargs, output):
        calls.append(plain(signature.bind(*args, **kwargs).arguments))

    handle = network.register_forward_hook(keep, with_kwargs=True)
    with torch.no_grad():
        call()
    handle.remove()
    return calls


def plain(arguments):
    """Tensors by name, those of dictionaries too; what says nothing is left out."""
    found = {}
    for name, value in arguments.items():
        if isinstance(value, dict):
            found |= {f"{name}.{key}": part for key, part in plain(value).items()}
        elif isinstance(value, list | tuple) and value and isinstance(value[0], torch.Tensor):
            found |= {f"{name}.{place}": part for place, part in enumerate(value)}
        elif value is not None and name not in SILENT:
            found[name] = value
    return found


def check_heard(theirs, ours):
    """The same, to 1e-5; a mask that hides nothing says nothing."""
    for name in theirs.keys() | ours.keys():
        if "mask" in name and (name not in theirs or name not in ours):
            assert torch.as_tensor(ours.get(name, theirs.get(name))).all(), name
            continue
        assert name in theirs, f"{name} is ours alone"
        assert name in ours, f"{name} is theirs alone"
        one, other = theirs[name], ours[name]
        if isinstance(one, torch.Tensor):
            one = one.expand(other.shape) if one.ndim == 0 else one
            assert one.shape == other.shape, name
            assert torch.allclose(one.float(), other.float(), atol=1e-5), name
        else:
            assert one == other, name


def check_same_steps(pipe, folder, network, prompt, options=None, **call):
    """The network hears the same from the pipeline and from us, at every step.

    Args:
        pipe: The pipeline, on whose scheduler its steps depend.
        folder: Folder of the same.
        network: Name of the network in the pipeline.
        prompt: What is drawn.
        options: Arguments of our loading.
        **call: Arguments of the pipeline that turn guidance off, and others.

    Returns:
        Our denoiser.
    """
    model = load(folder, **(options or {}))
    _, height, width = model.image_shape
    pipe.set_progress_bar_config(disable=True)
    if not (isinstance(model.schedule, FlowMatching) or "DDIM" in type(pipe.scheduler).__name__):
        pipe.scheduler = DDIMScheduler.from_config(
            pipe.scheduler.config,
            timestep_spacing="leading",
            clip_sample=False,
            thresholding=False,
        )
    theirs = heard(
        getattr(pipe, network),
        lambda: pipe(
            prompt=prompt, num_inference_steps=STEPS, output_type="latent", height=height,
            width=width, generator=torch.Generator().manual_seed(SEED), **call,
        ),
    )  # fmt: skip
    assert len(theirs) == STEPS
    with torch.no_grad():
        told = model.condition([prompt])
    x = torch.randn(1, *model.sample_shape, generator=torch.Generator().manual_seed(SEED))
    for step, expected in enumerate(theirs):
        at, after = times(pipe.scheduler, model.schedule, step)
        said = {}

        def forward(x=x, at=at, said=said):
            said["output"] = model(x, at.timestep, told)

        (ours,) = heard(model.network, forward)
        check_heard(expected, ours)
        x = stepped(model.schedule, x, said["output"], at, after)
    return model


def times(scheduler, schedule, step):
    """What our schedule knows of a step of theirs, and of the next: its scales, or None at 0."""
    if isinstance(schedule, FlowMatching):
        now, then = scheduler.sigmas[step : step + 2].double()
        time = now[None]
        if hasattr(schedule, "shift"):  # the network is told another time
            time = scheduler.timesteps[step : step + 1] / 1000
            assert abs(schedule(time).sigma.item() - now.item()) < 1e-5
        return schedule(time), (1 - then.item(), then.item())
    t = scheduler.timesteps
    at = schedule.of(t[step : step + 1])
    before = int(t[step]) - len(scheduler.alphas_cumprod) // STEPS
    abar = scheduler.alphas_cumprod[before] if before >= 0 else scheduler.final_alpha_cumprod
    return at, (abar.sqrt().item(), (1 - abar).sqrt().item())


def stepped(schedule, x, output, at, after):
    """The sample one step on: by Euler along the flow, or by DDIM; both keep x_0 and the noise."""
    sigma = at.sigma.view(-1, 1, 1, 1)
    noised = Noised(torch.zeros_like(x), x / sigma, at)
    said = Prediction(noised, output, schedule.target)
    if isinstance(schedule, FlowMatching):
        return x + (after[1] - sigma) * said.velocity
    return after[0] * said.x_0 + after[1] * said.noise


def check_spoken(model, prompt):
    """What is counted of a prompt is what the text encoder hears."""
    ((name, encoder),) = model.text_encoders.items()
    (arguments,) = heard(encoder, lambda: model.condition([prompt]))
    ids = arguments["input_ids"][arguments["attention_mask"].bool()]
    tokenizer = model.tokenizers[name.replace("text_encoder", "tokenizer")]
    assert ids.tolist() == tokenizer(model.spoken([prompt]))["input_ids"][0]


@torch.no_grad()
def check_prompts_stand_alone(model, prompts):
    """The network says the same of a prompt, whichever others are told beside it."""
    x = torch.randn(1, *model.sample_shape)
    timestep = model.schedule(torch.tensor([0.4])).timestep
    alone = torch.cat([model(x, timestep, model.condition([prompt])) for prompt in prompts])
    many = len(prompts)
    together = model(x.expand(many, -1, -1, -1), timestep.expand(many), model.condition(prompts))
    assert torch.allclose(together, alone, atol=1e-4)
    assert all((row - other).abs().max() > 1e-3 for row, other in pairwise(together))


def check_true_target(model):
    """One step from sigma to 0 with the network's true target is x_0."""
    x_0, noise = torch.randn(2, 3, *model.sample_shape)
    at = model.schedule(torch.tensor([0.1, 0.5, 0.8]))
    noised = Noised(x_0, noise, at)
    said = Prediction(noised, model.schedule.target.of(noised), model.schedule.target)
    assert torch.allclose(said.x_0, x_0, atol=1e-4)
    if isinstance(model.schedule, FlowMatching):
        back = noised.x_t - noised.sigma * (noise - x_0)
        assert torch.allclose(back, said.x_0, atol=1e-4)
