"""What is checked: laws that hold for every verifier, each with the samples that it is tried on."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any, Final, NamedTuple

from hypothesis import Phase, Verbosity, find, settings
from hypothesis.errors import Flaky, NoSuchExample
from hypothesis.strategies import SearchStrategy

from crystallize.testing import samples
from crystallize.testing.subject import Answer, Arms, Subject

_VERDICT: Final = "a p_value from 0 to 1, and True or False for significant (or accepted)"
_NO_PASS: Final = "an error, or neither significant nor accepted"


class Fault(NamedTuple):
    """A law broken: what was asked and answered, and what was to be expected."""

    asked: tuple[tuple[Arms, Answer], ...]
    expected: str


class Check(NamedTuple):
    """A law, the samples that it is tried on, and why it holds."""

    name: str
    samples: SearchStrategy[Any]
    fault: Callable[[Subject, Any], Fault | None]
    why: str


def checks(subject: Subject) -> Iterator[Check]:
    """Yield the checks that apply to the subject."""
    yield Check(
        "ordinary samples are decided",
        samples.ordinary(subject),
        _undecided,
        "an error, or anything else that is returned, makes the verdict invalid",
    )
    yield Check(
        _REPEATED,
        samples.varied(subject),
        _not_repeated,
        "a verdict that can't be repeated can't be checked; random numbers come from random or numpy.random, "
        "which are seeded alike for every call, or from a generator with a seed of its own",
    )
    yield Check(
        "the samples are left as they were",
        samples.varied(subject),
        _changed,
        "they belong to the caller, who may go on to use them",
    )
    yield Check(
        "the order of replicates does not matter",
        samples.reordered(subject),
        _order_matters,
        "replicates differ by their seed alone, and seeds have no order",
    )
    yield Check(
        "significance follows the p-value",
        samples.several(subject),
        _significance_is_not_p,
        "significant says that p is small enough; a verdict that rests on more is returned as accepted",
    )
    if subject.alternative != "margin":
        yield Check(
            "swapped arms are coherent",
            samples.varied(subject),
            _incoherent,
            "a two-sided p-value does not know which arm is which, and no difference has both signs; "
            "a verifier with a side is checked with alternative='one-sided'",
        )
    yield Check(
        "nan and infinity are no evidence",
        samples.not_finite(subject),
        _positive,
        "such a value is a failed measurement; a sample that leaves it out is another sample",
    )
    yield Check("no replicates are no evidence", samples.empty(subject), _positive, "nothing was measured")
    yield Check(
        "one replicate is no evidence",
        samples.single(subject),
        _positive,
        "a single value says nothing about how much values vary",
    )
    if subject.alternative == "margin":
        yield Check("identical arms are decided", samples.identical(subject), _undecided, _COMMON)
    else:
        yield Check(
            "identical arms are decided, and not significant",
            samples.identical(subject),
            _difference_in_nothing,
            "they show no difference; a claim that needs none is checked with alternative='margin'",
        )
    yield Check("constant arms are decided", samples.constant_arms(subject), _undecided, _COMMON)
    if not subject.binary:
        yield Check(
            "constant differences are decided", samples.constant_differences(subject), _undecided, _COMMON
        )
        yield Check("tied values are decided", samples.tied(subject), _undecided, _COMMON)
        yield Check(
            "extreme values get a p-value or an error",
            samples.extreme(subject),
            _garbage,
            "squares and sums overflow, or vanish; an error says so, a nan does not",
        )
    yield Check(
        "numbers of every type get the same answer",
        samples.typed(subject),
        _type_matters,
        "a metric may be recorded as float, int or bool, and numpy computes differently with each",
    )


_REPEATED: Final = "the same samples get the same answer"
_COMMON: Final = "without randomness, or with a metric of few values, such samples are common"


def failures(subject: Subject, examples: int) -> tuple[dict[str, str], int]:
    """Run the checks on up to so many examples each.

    Returns
    -------
    failed : dict
        Name of each check that failed -> the smallest fault found, in words.
    number : int
        How many checks were run. What would fail for the same reason as another is not: if no ordinary sample
        gets a verdict, everything else; if answers can't be repeated, what compares them.
    """
    failed: dict[str, str] = {}
    number = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # whatever a verifier has to say, it would say hundreds of times
        for check in checks(subject):
            if _REPEATED in failed and check.fault in _COMPARING:
                continue
            number += 1
            fault = _smallest(check, subject, examples)
            if fault is not None:
                failed[check.name] = _in_words(fault, check.why)
                if number == 1 and not _ever_decides(check, subject, examples):
                    break
    return failed, number


def _in_words(fault: Fault, why: str) -> str:
    lines = []
    for arms, answer in fault.asked:
        lines += [f"     {line}" for line in arms.assigned()]
        lines.append(f"   got       {answer}")
    return "\n".join([*lines, f"   expected  {fault.expected}", f"   because   {why}"])


def _smallest(check: Check, subject: Subject, examples: int) -> Fault | None:
    """Return the fault with the smallest samples that Hypothesis finds, or None."""
    last: list[Fault] = []

    def broken(drawn: Any) -> bool:
        fault = check.fault(subject, drawn)
        if fault is not None:
            last[:] = [fault]
        return fault is not None

    _search(check, broken, examples, Phase.generate, Phase.shrink)
    return last[0] if last else None


def _ever_decides(check: Check, subject: Subject, examples: int) -> bool:
    """Return whether any sample of the check gets a verdict."""
    return _search(check, lambda arms: subject.ask(arms).decided, examples, Phase.generate)


def _search(check: Check, condition: Callable[[Any], bool], examples: int, *phases: Phase) -> bool:
    """Say whether what the check draws ever meets the condition, which sees the smallest that does last."""
    try:
        find(
            check.samples,
            condition,
            settings=settings(
                max_examples=examples,
                phases=phases,
                derandomize=True,
                database=None,
                deadline=None,
                verbosity=Verbosity.quiet,
            ),
        )
    except NoSuchExample:
        return False
    except Flaky:
        pass  # the answers vary, so what was seen can't be shown again; it was seen all the same
    return True


def _ask(subject: Subject, *several: Arms) -> list[tuple[Arms, Answer]]:
    return [(arms, subject.ask(arms)) for arms in several]


def _undecided(subject: Subject, arms: Arms) -> Fault | None:
    answer = subject.ask(arms)
    return None if answer.decided else Fault(((arms, answer),), _VERDICT)


def _positive(subject: Subject, arms: Arms) -> Fault | None:
    asked = _ask(subject, arms, arms.swapped())  # a verifier with a side passes one of them more easily
    return next((Fault((one,), _NO_PASS) for one in asked if one[1].positive), None)


def _difference_in_nothing(subject: Subject, arms: Arms) -> Fault | None:
    answer = subject.ask(arms)
    if answer.decided and not answer.positive:
        return None
    return Fault(((arms, answer),), "a p_value from 0 to 1, and neither significant nor accepted")


def _garbage(subject: Subject, arms: Arms) -> Fault | None:
    answer = subject.ask(arms)
    return None if answer.decided or answer.declined else Fault(((arms, answer),), f"{_VERDICT}, or an error")


def _not_repeated(subject: Subject, arms: Arms) -> Fault | None:
    first, second = _ask(subject, arms, arms)
    if str(first[1]) == str(second[1]):
        return None
    return Fault((first, second), "the same answer twice")


def _changed(subject: Subject, arms: Arms) -> Fault | None:
    given = arms.copied()
    answer = subject.answer(*given)
    if repr(given) == repr(arms):
        return None
    return Fault(((arms, answer),), f"to find them unchanged, not {' and '.join(given.assigned())}")


def _order_matters(subject: Subject, both: tuple[Arms, Arms]) -> Fault | None:
    first, second = _ask(subject, *both)
    if subject.agree(first[1], second[1]):
        return None
    return Fault((first, second), "the same answer to the same replicates in another order")


def _type_matters(subject: Subject, both: tuple[Arms, Arms]) -> Fault | None:
    as_float, as_other = _ask(subject, *both)
    if not as_float[1].decided or subject.agree(as_float[1], as_other[1]):
        return None
    return Fault((as_float, as_other), "the same answer to the same numbers")


def _significance_is_not_p(subject: Subject, several: list[Arms]) -> Fault | None:
    asked = [(arms, answer) for arms, answer in _ask(subject, *several) if answer.decided]
    alpha = subject.hypothesis.alpha
    for arms, answer in asked:
        if answer.significant and alpha is not None and answer.p > alpha:
            return Fault(((arms, answer),), f"not to be significant, with p above alpha = {alpha:g}")
    for smaller, larger in combinations(sorted(asked, key=lambda one: one[1].p), 2):
        if smaller[1].significant or not larger[1].significant or subject.same_p(smaller[1], larger[1]):
            continue
        if subject.alternative == "two-sided" and subject.ask(smaller[0].swapped()).significant:
            continue  # the verdict has a side, though p has none
        return Fault((smaller, larger), "the smaller p-value to be significant, if the larger one is")
    return None


def _incoherent(subject: Subject, arms: Arms) -> Fault | None:
    first, second = _ask(subject, arms, arms.swapped())
    if subject.alternative == "two-sided" and not subject.same_p(first[1], second[1]):
        return Fault((first, second), "the same p-value with the arms swapped")
    if subject.has_side and first[1].passes and second[1].passes:
        return Fault((first, second), "no pass in both directions")
    return None


_COMPARING: Final = (_order_matters, _type_matters, _incoherent)
