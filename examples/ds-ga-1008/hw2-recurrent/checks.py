"""Checks of homework 2, practice. Texts are drawn anew for each hand-in (trial.generator); sizes are fixed."""

import math

import reference
import torch
from reference import DELAY, FIXED_HIDDEN, MAX_DELAY, VARIABLE_HIDDEN
from torch import Generator, Tensor

from grading.runner.checks import Failed, Student, Trial, check
from grading.runner.protocol import Ref

FIXED, VARIABLE = "hw2_rnn.GRUMemory", "hw2_rnn.VariableDelayGRUMemory"
FIXED_WEIGHTS, VARIABLE_WEIGHTS = "gru_memory.safetensors", "variable_delay_gru_memory.safetensors"
WANTED = 0.99  # share of characters
UNTRAINED = 0.5  # a network that is right so often before any training has not learned it
STEPS = 100  # of training that a check waits for
LOWER = 0.995  # of the loss, after them


# What a network answers.


def answer(student: Student, trial: Trial, net: Ref, codes: Tensor, delays: Tensor | None = None) -> Tensor:
    """The logits for `codes` (B, L); Failed when they are none."""
    x = reference.one_hot(codes)
    logits = student.call(net, "forward", x) if delays is None else student.call(net, "forward", x, delays)
    if logits is None:
        raise Failed("forward returns None. Is a return statement missing?")
    if isinstance(logits, tuple | list):
        raise Failed(f"forward returns {len(logits)} things; return the logits only. nn.GRU itself gives outputs and a last state.")
    if isinstance(logits, Tensor) and logits.shape[:-1] == codes.shape and logits.shape != x.shape:
        raise Failed(f"logits: expected shape {tuple(x.shape)}, got {tuple(logits.shape)}. Is the linear layer behind the GRU missing?")
    logits = trial.tensor("logits", logits, shape=x.shape, dtype=x.dtype)
    trial.true(bool(logits.isfinite().all()), "The logits hold infinity or NaN.")
    if bool((logits >= 0).all()) and torch.allclose(logits.sum(-1), torch.ones(codes.shape), atol=1e-3):
        raise Failed("forward returns probabilities; return logits, without a softmax: nn.CrossEntropyLoss takes those.")
    return logits


def same(first: Tensor, second: Tensor) -> bool:
    return torch.allclose(first, second, rtol=1e-3, atol=1e-4)


def share(guesses: Tensor, targets: Tensor) -> float:
    return float((guesses == targets).double().mean())


# What a memory of either kind must do.


def rows_do_not_meet(student: Student, trial: Trial, net: Ref, codes: Tensor, delays: Tensor | None) -> None:
    together = answer(student, trial, net, codes, delays)
    again = answer(student, trial, net, codes, delays)
    trial.true(
        same(together, again), "The same batch is answered differently the second time. Is a state kept between calls, or dropout on?"
    )
    for row in range(codes.shape[0]):
        one = slice(row, row + 1)
        alone = answer(student, trial, net, codes[one], None if delays is None else delays[one])
        behind = "Is batch_first=True missing?" if delays is None else "Is the delay of another sample taken, or batch_first=True missing?"
        where = f"Sample {row}" + ("" if delays is None else f", of delay {int(delays[row])},")
        trial.true(same(together[one], alone), f"{where} is answered differently alone than in a batch of {codes.shape[0]}. {behind}")


def text_is_kept(student: Student, trial: Trial, net: Ref, texts: list[str], delay: int | None) -> None:
    """test_run says what forward says, in a text of the same length."""
    for given in texts:
        said = student.call(net, "test_run", given) if delay is None else student.call(net, "test_run", given, delay)
        shown = f"test_run({given!r})" if delay is None else f"test_run({given!r}, {delay})"
        said = trial.text(shown, said)
        short = " Are blanks cut off by strip?" if said and given.startswith(said.strip()) else ""
        trial.true(len(said) == len(given), f"{shown} has {len(given)} characters; the answer has {len(said)}: {said[:60]!r}.{short}")
        if not given:
            continue
        codes = torch.tensor([[reference.ALPHABET.index(letter) for letter in given]])
        delays = None if delay is None else torch.tensor([delay])
        expected = reference.text(answer(student, trial, net, codes, delays)[0].argmax(-1))
        trial.true(said == expected, f"{shown}: {said[:60]!r}; the largest logits of forward are those of {expected[:60]!r}.")


def training_helps(student: Student, trial: Trial, net: Ref, name: str, codes: Tensor, delays: Tensor, *, tell: bool) -> None:
    """`name`(net, STEPS) gives the loss of each step, and the network is better afterwards on texts of ours."""
    targets = reference.delayed(codes, delays)
    asked = delays if tell else None
    before = reference.loss(answer(student, trial, net, codes, asked), targets)
    losses = trial.sequence(f"{name}(net, {STEPS})", student.call(f"hw2_rnn.{name}", net, STEPS), STEPS)
    finite = all(isinstance(one, float) and math.isfinite(one) for one in losses)
    trial.true(finite, f"{name} must return a list of finite floats, the loss of each step; loss.item() is one.")
    after = reference.loss(answer(student, trial, net, codes, asked), targets)
    sentence = f"After {name}(net, {STEPS}) the loss on fresh texts is {after:.3f}; before, it was {before:.3f}."
    trial.true(after < LOWER * before, f"{sentence} Does each step call backward and optimizer.step, on batches with the right delay?")


def trained(student: Student, trial: Trial, kind: str, weights: str) -> Ref:
    """A network with the weights that were handed in; Failed when it is right without them."""
    sizes = (FIXED_HIDDEN,) if kind == FIXED else (VARIABLE_HIDDEN, MAX_DELAY)
    net = student.new(kind, *sizes)
    codes, delays = reference.draw_codes(40, 30, trial.generator), torch.full((40,), DELAY)
    before = share(answer(student, trial, net, codes, None if kind == FIXED else delays).argmax(-1), reference.delayed(codes, delays))
    given = "the network is to learn its task, not to be given it"
    trial.true(before < UNTRAINED, f"{100 * before:.0f} % of the characters are right before any weights are loaded; {given}.")
    student.load_state(net, weights)
    return net


def has_learned(student: Student, trial: Trial, net: Ref, codes: Tensor, delays: Tensor, *, tell: bool = True) -> None:
    """At least 99 % of the characters are right."""
    guesses = answer(student, trial, net, codes, delays if tell else None).argmax(-1)
    right = share(guesses, reference.delayed(codes, delays))
    asked = f"{100 * WANTED:.0f} % are asked for"
    trial.true(right >= WANTED, f"{100 * right:.1f} % of the characters are right; {asked}.{slip(guesses, codes, delays)}")


def slip(guesses: Tensor, codes: Tensor, delays: Tensor) -> str:
    for off in (-1, 1):
        if bool((delays + off >= 0).all()) and share(guesses, reference.delayed(codes, delays + off)) >= WANTED:
            return f" They are right for delays that are one {'shorter' if off < 0 else 'longer'}."
    if share(guesses, codes) >= WANTED:
        return " The input is repeated without a delay."
    return ""


def draw_texts(draw: Generator) -> list[str]:
    """Texts of several lengths, with the empty one, one character, and blanks at both ends."""
    drawn = [reference.text(reference.draw_codes(1, length, draw)[0]) for length in (1, 6, 25)]
    return [*drawn, f" {drawn[1]}  ", ""]


# The fixed delay.


@check("fixed-shapes")
def fixed_shapes(student: Student, trial: Trial) -> None:
    for hidden, batch, length in ((8, 3, 7), (20, 1, 1), (64, 5, 30)):
        answer(student, trial, student.new(FIXED, hidden), reference.draw_codes(batch, length, trial.generator))


@check("fixed-rows")
def fixed_rows(student: Student, trial: Trial) -> None:
    rows_do_not_meet(student, trial, student.new(FIXED, 16), reference.draw_codes(4, 9, trial.generator), None)


@check("fixed-causal")
def fixed_causal(student: Student, trial: Trial) -> None:
    net = student.new(FIXED, 16)
    codes = reference.draw_codes(1, 12, trial.generator)
    changed = codes.clone()
    changed[0, 5] = (changed[0, 5] + 13) % reference.LETTERS
    first, second = answer(student, trial, net, codes)[0], answer(student, trial, net, changed)[0]
    sentence = "The answers before character 5 change with it: the network looks into the future. Is the GRU bidirectional?"
    trial.true(same(first[:5], second[:5]), sentence)
    for step in range(5, 5 + DELAY + 1):
        sentence = f"The answer at character {step} does not change with character 5, so it cannot repeat it {DELAY} characters later."
        trial.true(not torch.equal(first[step], second[step]), f"{sentence} Does the state go from one character to the next?")


@check("fixed-text")
def fixed_text(student: Student, trial: Trial) -> None:
    text_is_kept(student, trial, student.new(FIXED, 16), draw_texts(trial.generator), None)


@check("fixed-training")
def fixed_training(student: Student, trial: Trial) -> None:
    codes = reference.draw_codes(64, 20, trial.generator)
    training_helps(student, trial, student.new(FIXED, 32), "train_fixed", codes, torch.full((64,), DELAY), tell=False)


@check("fixed-weights")
def fixed_weights(student: Student, trial: Trial) -> None:
    net = trained(student, trial, FIXED, FIXED_WEIGHTS)
    has_learned(student, trial, net, reference.draw_codes(20, 20, trial.generator), torch.full((20,), DELAY), tell=False)


@check("fixed-accuracy")
def fixed_accuracy(student: Student, trial: Trial) -> None:
    net = trained(student, trial, FIXED, FIXED_WEIGHTS)
    for length in (1, 3, 5, 12, 40):
        has_learned(student, trial, net, reference.draw_codes(200, length, trial.generator), torch.full((200,), DELAY), tell=False)


# The variable delay.


@check("variable-shapes")
def variable_shapes(student: Student, trial: Trial) -> None:
    for hidden, longest, batch, length in ((8, 3, 4, 7), (20, 1, 1, 1), (64, 6, 5, 30)):
        net = student.new(VARIABLE, hidden, longest)
        trial.equal("max_delay", student.get(net, "max_delay"), longest)
        answer(student, trial, net, reference.draw_codes(batch, length, trial.generator), torch.arange(batch) % (longest + 1))


@check("variable-rows")
def variable_rows(student: Student, trial: Trial) -> None:
    net = student.new(VARIABLE, 16, 5)
    codes = reference.draw_codes(6, 9, trial.generator)
    codes[1:] = codes[:1]  # the same text with six delays
    delays = torch.randperm(6, generator=trial.generator)
    together = answer(student, trial, net, codes, delays)
    for row in range(1, 6):
        told = f"The same text is answered alike for the delays {int(delays[0])} and {int(delays[row])}. Does forward use delays?"
        trial.true(not same(together[0], together[row]), told)
    rows_do_not_meet(student, trial, net, codes, delays)


@check("variable-text")
def variable_text(student: Student, trial: Trial) -> None:
    net = student.new(VARIABLE, 16, 3)
    for delay in (0, 2, 3):
        text_is_kept(student, trial, net, draw_texts(trial.generator), delay)


@check("variable-training")
def variable_training(student: Student, trial: Trial) -> None:
    codes = reference.draw_codes(64, 20, trial.generator)
    training_helps(student, trial, student.new(VARIABLE, 32, 3), "train_variable", codes, torch.arange(64) % 4, tell=True)


@check("variable-limits")
def variable_limits(student: Student, trial: Trial) -> None:
    net = trained(student, trial, VARIABLE, VARIABLE_WEIGHTS)
    for delay in (0, MAX_DELAY):
        has_learned(student, trial, net, reference.draw_codes(100, 24, trial.generator), torch.full((100,), delay))


@check("variable-accuracy")
def variable_accuracy(student: Student, trial: Trial) -> None:
    net = trained(student, trial, VARIABLE, VARIABLE_WEIGHTS)
    for length in (6, 20, 40):
        delays = torch.randint(0, MAX_DELAY + 1, (200,), generator=trial.generator)
        has_learned(student, trial, net, reference.draw_codes(200, length, trial.generator), delays)
