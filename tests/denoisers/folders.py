"""Pipeline folders, loaded and broken."""

import json

import torch
from safetensors.torch import load_file, save_file

from diffclf_lightning import AutoDenoiser
from diffclf_lightning.denoisers.skeleton import rebuilt

NETWORK = "diffusion_pytorch_model.safetensors"


def load(folder, **arguments):
    return AutoDenoiser.from_pretrained(str(folder), **arguments)


def edit_weights(file, edit):
    weights = load_file(file)
    edit(weights)
    file.unlink()  # models that are loaded may still read from it
    save_file(weights, file, metadata={"format": "pt"})


def edit_index(folder, **entries):
    file = folder / "model_index.json"
    index = json.loads(file.read_text()) | entries
    file.write_text(json.dumps({k: v for k, v in index.items() if v != "absent"}))


def check_same_weights(first, second):
    first, second = first.state_dict(), second.state_dict()
    assert first.keys() == second.keys()
    for name, weight in first.items():
        assert torch.equal(weight, second[name])


@torch.no_grad()
def check_checkpoint(model, prompt):
    """A model that is made again from what a checkpoint holds of it says and sees the same."""
    again = rebuilt(**model.stored_form()["init_args"]).eval()
    again.load_state_dict(model.state_dict())
    assert type(again) is type(model)
    images = torch.rand(1, *model.image_shape)
    assert torch.equal(again.encode(images), model.encode(images))
    for keyword, tensor in model.condition([prompt]).items():
        assert torch.equal(again.condition([prompt])[keyword], tensor)
