"""What runs leave in their process for those of other experiments, which are made again without it."""

import decimal
import re
from string import Template

import pytest

from plugin.records.conftest import digests, hits

BESIDE = """
import asyncio, codecs, copyreg, csv, decimal, fractions, gc, logging, mimetypes, multiprocessing, os
import operator, signal, socket, statistics, sys, time, types
from os import environ as variables
from sys import setswitchinterval

POLICY = asyncio.DefaultEventLoopPolicy()

@pytest.fixture
def rates():
    os.environ["SHOP_RATE"] = "3"

@pytest.mark.experiment(replicates=3, treatments={"t": {"gain": 5.0}})
def experiment_first(rng, rates, gain=0.0):
    decimal.getcontext().prec = 3
    $does
    return {"y": rng.random() + gain}

@pytest.mark.experiment(replicates=3, treatments={"t": {"gain": 5.0}})
def experiment_total(rng, gain=0.0):
    return {"y": rng.random() + gain + $value}

@pytest.mark.experiment(replicates=3, treatments={"t": {"gain": 5.0}})
def experiment_other(rng, rates, gain=0.0):
    decimal.getcontext().prec = 3
    return {"y": rng.random() + gain + float(os.environ["SHOP_RATE"]) + float(decimal.Decimal(1) / 3)}
"""


@pytest.mark.parametrize(
    ("does", "value", "repeats"),
    [
        ("pass", "float(decimal.Decimal(1) / 3)", False),
        ("pass", "float(len(str(decimal.Decimal(1))))", True),
        ("sys.path.insert(0, '/nowhere')", "('/nowhere' in sys.path)", False),
        *(
            pytest.param(does, value, True, marks=pytest.mark.slow)
            for does, value in (
                ("sys.path.insert(0, '/nowhere')", "(sys.path.append is None)"),
                ("sys.path.insert(0, '/nowhere'); setattr(fractions.Fraction, 'rate', 3)", "0"),
                ("setswitchinterval(0.25)", "(gain > 9 and sys.setswitchinterval(9))"),
            )
        ),
        *(
            pytest.param(does, value, False, marks=pytest.mark.slow)
            for does, value in (
                ("pass", "float(os.environ.get('SHOP_RATE', 0))"),
                ("gc.set_threshold(555)", "(gc.get_threshold()[0] == 555)"),
                ("logging.disable(40)", "logging.root.isEnabledFor(40)"),
                ("socket.setdefaulttimeout(7)", "(socket.getdefaulttimeout() or 0)"),
                ("sys.set_int_max_str_digits(999)", "(sys.get_int_max_str_digits() == 999)"),
                ("setswitchinterval(0.25)", "sys.getswitchinterval()"),
                ("gc.disable()", "gc.isenabled()"),
                ("variables.update(rate='3')", "float(variables.get('rate', 0))"),
                ("variables.update(TZ='Asia/Tokyo'); time.tzset()", "time.timezone"),
                ("decimal.DefaultContext.prec = 3", "decimal.DefaultContext.prec"),
                ("logging.getLogger('shop').disabled = True", "logging.getLogger('shop').disabled"),
                ("logging.root.setLevel(10)", "logging.root.level"),
                ("mimetypes.types_map['.shop'] = 'a/b'", "('.shop' in mimetypes.types_map)"),
                ("vars(fractions)['rate'] = 3", "getattr(fractions, 'rate', 0)"),
                ("vars(fractions).update(rate=3)", "getattr(fractions, 'rate', 0)"),
                ("sys.path[:0] = ['/nowhere']", "('/nowhere' in sys.path)"),
                ("setattr(fractions.Fraction, 'rate', 3)", "getattr(fractions.Fraction, 'rate', 0)"),
                ("os.environ.pop('PATH', None)", "('PATH' in os.environ)"),
                ("operator.setitem(os.environ, 'rate', '3')", "float(os.environ.get('rate', 0))"),
                ("vars(fractions).pop('Fraction', None)", "hasattr(fractions, 'Fraction')"),
                ("if hasattr(fractions, 'Decimal'): del fractions.Decimal", "hasattr(fractions, 'Decimal')"),
                ("np.seterrcall(print)", "(np.geterrcall() is print)"),
                ("sys.path += ['/nowhere']", "('/nowhere' in sys.path)"),
                ("os.environ.pop('HOME', None)", "('HOME' in os.environ)"),
                ("os.environ.clear()", "('HOME' in os.environ)"),
                ("os.environ |= {'SHOP': '3'}", "float(os.environ.get('SHOP', 0))"),
                ("os.environb[b'SHOP'] = b'3'", "float(os.environ.get('SHOP', 0))"),
                ("vars(sys).update(rate=3)", "getattr(sys, 'rate', 0)"),
                ("statistics.fmean.rate = 3", "getattr(statistics.fmean, 'rate', 0)"),
                (
                    "copyreg.pickle(types.SimpleNamespace, id)",
                    "(types.SimpleNamespace in copyreg.dispatch_table)",
                ),
                (
                    "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
                    "(signal.getsignal(signal.SIGTERM) == signal.SIG_IGN)",
                ),
                (
                    "multiprocessing.set_start_method('spawn', force=True)",
                    "(multiprocessing.get_start_method(allow_none=True) == 'spawn')",
                ),
                ("csv.register_dialect('shop')", "('shop' in csv.list_dialects())"),
                ("logging.addLevelName(33, 'SHOP')", "(logging.getLevelName(33) == 'SHOP')"),
                ("logging.basicConfig(level=5, force=True)", "logging.root.level"),
                ("logging.getLogger('shop').addFilter(print)", "len(logging.getLogger('shop').filters)"),
                (
                    "logging.getLogger('shop').addHandler(logging.lastResort)",
                    "len(logging.getLogger('shop').handlers)",
                ),
            )
        ),
    ],
)
def test_what_runs_of_another_experiment_leave_in_the_process_is_told(project, does, value, repeats):
    """They are made again without it; those that set it themselves, or make nothing of it, are stored."""
    project.write(Template(BESIDE).substitute(does=does, value=value))
    text = " ".join(line.strip() for line in project.run_apart().outlines)
    told = re.search(
        r"experiment_total does not repeat: .* without what other runs set \(.*decimal's con", text
    )
    assert (told is None) is repeats
    warm = project.run_apart("-v")
    assert [hits(warm, name) for name in ("first", "total", "other")] == [6, 6 * repeats, 6]


def test_what_is_told_is_what_another_selection_finds(project):
    """Alone, runs have the values that they have when nothing is stored."""
    project.write(
        Template(BESIDE).substitute(
            does="setattr(fractions.Fraction, 'rate', 3)", value="getattr(fractions.Fraction, 'rate', 0)"
        )
    )
    project.run_apart()
    alone = project.run_apart("-v", "-k", "total", "--crystallize-cache=off")
    assert digests(project.run_apart("-v", "-k", "total")) == digests(alone)


@pytest.mark.parametrize(
    ("does", "value"),
    [
        ("pass", "float(decimal.Decimal(1) / 3)"),
        ("pass", "float(os.environ.get('SHOP_RATE', 0))"),
        *(
            pytest.param(does, value, marks=pytest.mark.slow)
            for does, value in (
                ("sys.modules['shop'] = fractions", "('shop' in sys.modules)"),
                ("asyncio.set_event_loop_policy(POLICY)", "(asyncio.get_event_loop_policy() is POLICY)"),
                ("codecs.register_error('shop', codecs.ignore_errors)", "has_handler('shop')"),
            )
        ),
    ],
)
def test_it_is_told_where_nothing_is_stored_too(project, does, value):
    """Values and verdicts then depend on what is selected, with or without a cache."""
    project.write(Template(BESIDE).substitute(does=does, value=value) + FURTHER)
    result = project.run_apart("--crystallize-cache=off")
    text = " ".join(line.strip() for line in result.outlines)
    assert re.search(r"experiment_total does not repeat: .* without what other runs set \(", text)
    assert "experiment_other does not repeat" not in text


ROUNDED = """
import decimal

@pytest.mark.experiment(replicates=5, treatments={"t": {"delta": 5.0}})
def experiment_total(rng, delta=0.0):
    decimal.getcontext().Emax = 99
    return {"y": rng.normal() + delta + float(decimal.Decimal(1) / 3)}
"""


def test_what_was_set_before_an_earlier_session_of_the_process_decides_nothing(project):
    """Who runs several from a script may set something in between, before any run of the next one."""
    project.write(ROUNDED)
    for digits in (9, 3):
        with decimal.localcontext(prec=digits):
            result = project.run("-v", "--crystallize-cache=refresh")
        result.assert_outcomes(passed=1)
        assert "does not repeat" not in result.stdout.str()


FURTHER = """
def has_handler(name):
    try:
        return len("ü".encode("ascii", name)) + 1
    except LookupError:
        return 0
"""

MEMOS = """
import functools, random

@functools.cache
def drawn():
    return random.random()

@functools.cache
def settings():
    return {"rate": 1.0}

@functools.lru_cache(maxsize=8)
def picked(n, *, way=None):
    return random.random()

@functools.cache
def table(n):
    return {"rate": float(n)}

@pytest.mark.experiment(replicates=4, treatments={"t": {"gain": 5.0}})
def experiment_first(rng, gain=0.0):
    $does
    return {"y": rng.random() + gain}

@pytest.mark.experiment(replicates=4, treatments={"t": {"gain": 5.0}})
def experiment_total(rng, gain=0.0):
    return {"y": rng.random() + gain + $value}
"""


@pytest.mark.parametrize(
    ("does", "value", "memo"),
    [
        ("drawn()", "drawn()", "drawn"),
        ("settings()['rate'] = rng.random()", "settings()['rate']", "settings"),
        ("settings()", "settings()['rate']", None),
        ("picked(3)", "picked(3)", "picked"),
        *(
            pytest.param(does, value, memo, marks=pytest.mark.slow)
            for does, value, memo in (
                ("picked(0, way='a'); picked(1)", "picked(0, way='a')", "picked"),
                ("table(3)['rate'] = rng.random()", "table(3)['rate']", "table"),
                ("table(3); table(4)", "table(3)['rate']", None),
            )
        ),
    ],
)
def test_a_memo_that_runs_of_another_experiment_decide_is_emptied(project, does, value, memo):
    """Though nothing that these record may show it; one that only loads is not loaded again."""
    project.write(Template(MEMOS).substitute(does=does, value=value))
    for cache in ("off", "reuse"):
        text = " ".join(project.run_apart("--crystallize-cache", cache).stdout.str().split())
        first = f"experiment_first: runs depend on those before them, since .*: experiment_a.{memo} changed"
        assert (re.search(first, text) is not None) is (memo is not None)
    total = f"experiment_total does not repeat: .* with empty memos [(]experiment_a.{memo}[)]"
    # The run that was made again may be the very one that the memo was filled by.
    filled = f"experiment_total: its runs are not stored, since they fill experiment_a.{memo}"
    assert (re.search(f"{total}|{filled}", text) is not None) is (memo is not None), text
    assert hits(project.run_apart("-v")) == (0 if memo else 8)
