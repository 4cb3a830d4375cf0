"""The stored networks of chapter 16: there, small, as their record says, and good at their work; training goes on."""

import torch

from tutorial_lib.diffusion import noise_schedule, sample
from tutorial_lib.guidance import guide
from tutorial_lib.lab import drawer
from tutorial_lib.lab.captioned_shapes import captioned_shapes, encode_captions
from tutorial_lib.lab.scene_reader import read_scenes, scene_scores


def test_the_file_is_small_and_says_how_it_was_made():
    about = drawer.about_stored()
    assert drawer._FILE.stat().st_size < 2_000_000
    assert about["command"] == "python -m tutorial_lib.lab.drawer" and about["seed"] == 0
    for name, network in (("drawer", drawer.load_drawer()), ("reader", drawer.load_reader())):
        assert drawer._hash(drawer._narrow(network, name)) == about[f"{name} hash"]
        assert not network.training and not any(p.requires_grad for p in network.parameters())


def test_the_reader_reads_real_pictures():
    made = captioned_shapes(300, seed=123, split="all")
    assert float(scene_scores(read_scenes(drawer.load_reader(), made.image), made.scene).all.double().mean()) > 0.99


def test_the_drawer_draws_what_is_asked():
    asked = captioned_shapes(48, seed=124)
    text, network, alpha_bar = encode_captions(asked.captions), drawer.load_drawer(), noise_schedule(drawer.STEPS)
    both = torch.cat([text, torch.zeros_like(text)])
    model = lambda x, t: guide(*network(torch.cat([x, x]), torch.cat([t, t]), both).chunk(2), scale=3.0)  # noqa: E731
    noise = torch.randn(48, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    found = scene_scores(
        read_scenes(drawer.load_reader(), sample(model, noise, alpha_bar, given="v", count=15)), asked.scene
    )
    assert float(found.all.double().mean()) > 0.5 and float(found.colours.double().mean()) > 0.85


def test_training_goes_on_where_it_ended(tmp_path):
    options = {"rows": 20, "batch": 2}
    whole = drawer.train_drawer(steps=200, **options)
    first = tmp_path / "ck.pt"
    saved = torch.save

    def stop(state, file):
        saved(state, file)
        raise KeyboardInterrupt

    drawer.torch.save = stop
    try:
        drawer.train_drawer(steps=200, checkpoint=first, **options)
    except KeyboardInterrupt:
        pass
    finally:
        drawer.torch.save = saved
    again = drawer.train_drawer(steps=200, checkpoint=first, **options)
    for one, two in zip(whole.state_dict().values(), again.state_dict().values()):
        assert torch.equal(one, two)
