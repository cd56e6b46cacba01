"""Checks of homework 3, practice. Images and parameters are drawn anew for each hand-in (trial.generator); sizes are fixed.

In the smoke check (trial.smoke) the two trainings take two steps; everything else is the same in both stages.
"""

import math
from collections.abc import Callable
from functools import partial

import reference
import torch
from torch import Generator, Tensor

from grading.runner.checks import Failed, Student, Trial, check
from grading.runner.protocol import Ref

STEPS = 120
SMOKE_STEPS = 2
WANTED = 0.7  # share of fresh images
SHOWN, ASKED = 1024, 200  # images to train on, and to answer


def state_of(student: Student, trial: Trial, module: Ref) -> dict[str, Tensor]:
    """The module's parameters by name; Failed when it has none, as one that is no nn.Module."""
    state = trial.mapping("state_dict()", student.call(module, "state_dict"))
    numbers = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    trial.true(bool(numbers), "It has no parameters. Are the layers attributes of an nn.Module?")
    return numbers


def redraw(student: Student, trial: Trial, module: Ref) -> dict[str, Tensor]:
    """Other parameters, so that nothing depends on how the code draws its own: positions may well begin at zero. What was loaded."""
    state = state_of(student, trial, module)
    drawn = {name: torch.randn(old.shape, generator=trial.generator) * 0.5 for name, old in state.items() if old.is_floating_point()}
    student.call(module, "load_state_dict", state | drawn)
    student.call(module, "eval")
    return drawn


def answer(student: Student, trial: Trial, module: Ref, x: Tensor, shape: tuple[int, ...], name: str) -> Tensor:
    """What forward gives for x: a tensor of this shape, finite."""
    given = student.call(module, "forward", x)
    if given is None:
        raise Failed("forward returns None. Is a return statement missing?")
    given = trial.tensor(name, given, shape=shape, dtype=torch.float32)
    trial.true(bool(given.isfinite().all()), f"{name} hold infinity or NaN.")
    return given


def same(first: Tensor, second: Tensor) -> bool:
    return torch.allclose(first, second, rtol=1e-3, atol=1e-4)


# Patches.


@check("patches-shape")
def patches_shape(student: Student, trial: Trial) -> None:
    for image, patch, channels, size, batch in ((8, 4, 3, 16, 2), (12, 3, 1, 10, 1), (16, 16, 3, 8, 3)):
        patches = student.new("vit.PatchEmbedding", image, patch, channels, size)
        count = (image // patch) ** 2
        trial.equal("num_patches", student.get(patches, "num_patches"), count)
        images = torch.randn(batch, channels, image, image, generator=trial.generator)
        answer(student, trial, patches, images, (batch, count, size), "tokens")


@check("patches-order")
def patches_order(student: Student, trial: Trial) -> None:
    patches = student.new("vit.PatchEmbedding", 12, 4, 3, 8)
    redraw(student, trial, patches)
    images = torch.randn(1, 3, 12, 12, generator=trial.generator)
    before = answer(student, trial, patches, images, (1, 9, 8), "tokens")[0]
    for row, column in ((0, 1), (1, 0), (1, 2), (2, 2)):
        changed = images.clone()
        changed[:, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] += 1
        after = answer(student, trial, patches, changed, (1, 9, 8), "tokens")[0]
        moved = [token for token in range(9) if not same(before[token], after[token])]
        wanted = 3 * row + column
        told = f"Another patch in row {row}, column {column} changes {numbered(moved)}; expected: token {wanted} of 0 to 8."
        if len(moved) > 1:
            told += " Does a reshape take pixels of several patches together? Rows and columns of the grid have to come apart first."
        elif moved == [3 * column + row]:
            told += " The grid is read column by column."
        trial.true(moved == [wanted], told)
    twice = images.clone()
    twice[:, :, 8:, :4] = twice[:, :, :4, 4:8]
    tokens = answer(student, trial, patches, twice, (1, 9, 8), "tokens")[0]
    trial.true(same(tokens[1], tokens[6]), "Two patches with the same pixels give different tokens; the linear map is the same for all.")


def numbered(tokens: list[int]) -> str:
    if not tokens:
        return "no token"
    return f"token{'s' if len(tokens) > 1 else ''} {', '.join(map(str, tokens))}"


# Attention.


def values_hold(student: Student, trial: Trial, size: int, heads: int, batch: int, length: int) -> None:
    module = student.new("vit.MultiHeadSelfAttention", size, heads)
    state = reference.draw_layers(size, trial.generator)
    student.call(module, "load_state_dict", state)
    x = torch.randn(batch, length, size, generator=trial.generator)
    given = answer(student, trial, module, x, (batch, length, size), "the answers")
    expected = reference.attention(x, state, heads)
    if not same(given, expected):
        slips = ((1.0, "Are the scores divided?"), (math.sqrt(size), "They are divided by the root of embed_dim."))
        for scale, told in slips:
            if same(given, reference.attention(x, state, heads, scale=scale)):
                raise Failed(f"{told} Divide the scores by the root of a head's size, embed_dim / num_heads = {size // heads}.")
        if heads > 1 and same(given, reference.attention(x, state, 1)):
            raise Failed(f"It is what one head would give; this attention has {heads}.")
    trial.close("the answers", given, expected, rtol=1e-3, atol=1e-4)


@check("attention-shape")
def attention_shape(student: Student, trial: Trial) -> None:
    module = student.new("vit.MultiHeadSelfAttention", 12, 3)
    shapes = {name: tuple(value.shape) for name, value in state_of(student, trial, module).items()}
    for layer in reference.LAYERS:
        told = f"Its nn.Linear layers are to be called {', '.join(reference.LAYERS)}; it has {', '.join(sorted(shapes))}."
        trial.true(shapes.get(f"{layer}.weight") == (12, 12) and shapes.get(f"{layer}.bias") == (12,), told)
    answer(student, trial, module, torch.randn(4, 7, 12, generator=trial.generator), (4, 7, 12), "the answers")


@check("attention-values")
def attention_values(student: Student, trial: Trial) -> None:
    values_hold(student, trial, 16, 2, 3, 5)


@check("attention-heads")
def attention_heads(student: Student, trial: Trial) -> None:
    for size, heads, batch, length in ((6, 1, 2, 3), (24, 4, 2, 17), (8, 8, 1, 1), (20, 5, 5, 4)):
        values_hold(student, trial, size, heads, batch, length)


# A block.


def new_block(student: Student, size: int, heads: int, mlp: int, dropout: float) -> Ref:
    return student.new("vit.TransformerBlock", size, heads, mlp, dropout)


@check("block-residual")
def block_residual(student: Student, trial: Trial) -> None:
    block = new_block(student, 12, 3, 20, 0.0)
    x = torch.randn(2, 5, 12, generator=trial.generator)
    student.call(block, "eval")
    answer(student, trial, block, x, (2, 5, 12), "the answers")
    state = state_of(student, trial, block)
    student.call(block, "load_state_dict", {name: torch.zeros_like(value) for name, value in state.items()})
    given = answer(student, trial, block, x, (2, 5, 12), "the answers")
    told = "With all its parameters at zero, a block must give back what came in."
    if bool((given == 0).all()):
        told += " It gives zeros: is a sum with x missing, or the LayerNorm behind the sum, where it belongs in front of attention and MLP?"
    trial.true(same(given, x), told)


@check("block-size")
def block_size(student: Student, trial: Trial) -> None:
    for size, heads, mlp in ((12, 3, 20), (8, 2, 32)):
        has = sum(value.numel() for value in state_of(student, trial, new_block(student, size, heads, mlp, 0.1)).values())
        wanted = reference.block_parameters(size, mlp)
        told = f"embed_dim {size} and mlp_dim {mlp} make {wanted} parameters: two LayerNorms, four layers of the attention, two of the MLP."
        trial.true(has == wanted, f"{told} This block has {has}.")


@check("block-dropout")
def block_dropout(student: Student, trial: Trial) -> None:
    x = torch.randn(2, 5, 12, generator=trial.generator)

    def twice(dropout: float, mode: str) -> bool:
        block = new_block(student, 12, 3, 20, dropout)
        student.call(block, mode)
        return same(*(answer(student, trial, block, x, (2, 5, 12), "the answers") for _ in range(2)))

    trial.true(twice(0.5, "eval"), "In evaluation the same input is answered differently the second time. Is dropout always on?")
    trial.true(twice(0.0, "train"), "With a dropout of 0 the same input is answered differently the second time.")
    trial.true(not twice(0.5, "train"), "In training, a dropout of 0.5 changes nothing. Is it used?")


# The whole network.


def new_vit(student: Student, *, layers: int = 2, dropout: float = 0.0) -> Ref:
    """For images of 3 × 12 × 12, in nine patches, of five classes."""
    return student.new("vit.VisionTransformer", 12, 4, 3, 16, 2, 24, layers, 5, dropout)


@check("vit-logits")
def vit_logits(student: Student, trial: Trial) -> None:
    vit = new_vit(student, dropout=0.1)
    redraw(student, trial, vit)
    images = torch.randn(4, 3, 12, 12, generator=trial.generator)
    together = answer(student, trial, vit, images, (4, 5), "logits")
    if bool((together >= 0).all()) and torch.allclose(together.sum(-1), torch.ones(4), atol=1e-3):
        raise Failed("forward returns probabilities; return logits, without a softmax: nn.CrossEntropyLoss takes those.")
    for row in range(4):
        alone = answer(student, trial, vit, images[row : row + 1], (1, 5), "logits")
        told = f"Image {row} is answered differently alone than in a batch of 4. Which dimension do the tokens have?"
        trial.true(same(together[row : row + 1], alone), told)


@check("vit-layers")
def vit_layers(student: Student, trial: Trial) -> None:
    sizes = [sum(value.numel() for value in state_of(student, trial, new_vit(student, layers=layers)).values()) for layers in (1, 2, 4)]
    first, second, fourth = sizes
    told = f"One, two and four layers make {first}, {second} and {fourth} entries of state_dict()."
    trial.true(second > first, f"{told} Are the blocks in an nn.ModuleList or nn.Sequential? A plain list is not seen.")
    trial.true(fourth - second == 2 * (second - first), f"{told} Each further block must add as many.")
    vit = new_vit(student, layers=2)
    loaded, kept = redraw(student, trial, vit), state_of(student, trial, vit)
    lost = [name for name in loaded if not torch.equal(kept[name], loaded[name])]
    other = next((name for name in kept if lost and name != lost[0] and torch.equal(kept[name], kept[lost[0]])), "another one")
    told = f"{''.join(lost[:1])} and {other} are one and the same parameter. Make a new block for each layer; [block] * n is one n times."
    trial.true(not lost, told)


@check("vit-positions")
def vit_positions(student: Student, trial: Trial) -> None:
    vit = new_vit(student)

    def matters(change: Callable[[Tensor], Tensor]) -> bool:
        """Whether it changes a logit for one of a few draws: with some parameters, attention looks elsewhere."""
        for _ in range(5):
            redraw(student, trial, vit)
            images = torch.randn(1, 3, 12, 12, generator=trial.generator)
            if not same(*(answer(student, trial, vit, one, (1, 5), "logits") for one in (images, change(images.clone())))):
                return True
        return False

    def other(row: int, column: int, images: Tensor) -> Tensor:
        images[:, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] += 2
        return images

    def swapped(images: Tensor) -> Tensor:
        first = images[:, :, :4, :4].clone()
        images[:, :, :4, :4] = images[:, :, 4:8, 8:]
        images[:, :, 4:8, 8:] = first
        return images

    for row, column in ((0, 0), (1, 1), (2, 2)):
        trial.true(matters(partial(other, row, column)), f"Another patch in row {row}, column {column} changes no logit.")
    trial.true(matters(swapped), "Two patches that change places change no logit. Are positions added to the tokens?")


# Training.

Images = Callable[[int, Generator], tuple[Tensor, Tensor]]


def learns(student: Student, trial: Trial, vit: Ref, draw: Images) -> None:
    """train gives the loss of each step, and predict is right on fresh images. In the smoke check: two steps, and any classes."""
    steps = SMOKE_STEPS if trial.smoke else STEPS
    images, labels = draw(SHOWN, trial.generator)
    losses = trial.sequence(f"train(model, images, labels, {steps})", student.call("vit.train", vit, images, labels, steps), steps)
    finite = all(isinstance(loss, float) and math.isfinite(loss) for loss in losses)
    trial.true(finite, "train must return a list of finite floats, the loss of each step; loss.item() is one.")
    images, labels = draw(ASKED, trial.generator)
    said = trial.tensor("predict(model, images)", student.call("vit.predict", vit, images), shape=(ASKED,), dtype=torch.int64)
    trial.true(bool(((said >= 0) & (said < 4)).all()), "predict must give classes from 0 to 3.")
    if trial.smoke:
        return
    right = float((said == labels).double().mean())
    told = f"{100 * right:.0f} % of fresh images are right after {steps} steps; {100 * WANTED:.0f} % are asked for."
    told += f" The last loss was {losses[-1]:.3f}, the first {losses[0]:.3f}."
    trial.true(right >= WANTED, told)


@check("training-stripes")
def training_stripes(student: Student, trial: Trial) -> None:
    learns(student, trial, student.new("vit.VisionTransformer", 16, 4, 3, 32, 4, 64, 2, 4, 0.1), reference.stripes)


@check("training-places")
def training_places(student: Student, trial: Trial) -> None:
    learns(student, trial, student.new("vit.VisionTransformer", 12, 4, 1, 32, 2, 64, 2, 4, 0.0), reference.places)
