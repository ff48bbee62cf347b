"""Mafia between agents with policies: which policy lets the town find the mafia?

Two of nine players are the mafia. At night it removes a townsperson; by day everybody votes, and
the player with the most votes is out. The town (the "aligned" side) wins when the mafia is gone,
and loses when the mafia is no longer outnumbered. Treatments swap policies by name, the way one
would swap the model behind an agent. Wins are 0 or 1, so the claims about them are decided by
McNemar's test: replicate i of every condition deals the same roles.
"""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from crystallize import (
    Experiment,
    FrozenContext,
    GroupSequential,
    Hypothesis,
    Reference,
    Treatment,
    data_source,
    pipeline_step,
)

# --- the game ---------------------------------------------------------------------------------------------


@dataclass
class Game:
    """What happened so far. Only the mafia knows `mafia`; the detective knows who is `unmasked`."""

    rng: np.random.Generator
    alive: list[int]
    mafia: frozenset[int]
    suspicion: Counter[int] = field(default_factory=Counter)
    unmasked: set[int] = field(default_factory=set)
    round_number: int = 0

    def pick(self, players: list[int]) -> int:
        return players[self.rng.integers(len(players))]

    @property
    def townspeople(self) -> list[int]:
        return [player for player in self.alive if player not in self.mafia]

    @property
    def winner(self) -> str | None:
        living_mafia = len(self.alive) - len(self.townspeople)
        if living_mafia == 0:
            return "aligned"
        return "mafia" if living_mafia >= len(self.townspeople) else None


# --- the policies: whom to vote for -----------------------------------------------------------------------


def guess(game: Game, others: list[int], ballots: Counter[int]) -> int:
    """Vote for anybody."""
    return game.pick(others)


def watch(game: Game, others: list[int], ballots: Counter[int]) -> int:
    """Vote for one of those who have helped most to vote out townspeople."""
    most = max(game.suspicion[player] for player in others)
    return game.pick([player for player in others if game.suspicion[player] == most])


def follow_detective(game: Game, others: list[int], ballots: Counter[int]) -> int:
    """Vote for a player whom the detective has unmasked, if there is one."""
    return game.pick([player for player in others if player in game.unmasked] or others)


def block(game: Game, others: list[int], ballots: Counter[int]) -> int:
    """Vote for one townsperson, the same for all of the mafia."""
    return game.townspeople[game.round_number % len(game.townspeople)]


def blend_in(game: Game, others: list[int], ballots: Counter[int]) -> int:
    """Vote for the townsperson who leads already."""
    return max(game.townspeople, key=lambda player: (ballots[player], player))


TOWN = {"guess": guess, "watch": watch, "follow_detective": follow_detective}
MAFIA = {"block": block, "blend_in": blend_in}


def play_round(game: Game, town: str, mafia: str) -> None:
    game.round_number += 1
    game.alive.remove(game.pick(game.townspeople))
    if game.winner:
        return
    game.unmasked |= {game.pick(game.alive)} & game.mafia  # whom the detective looked at this night

    ballots: Counter[int] = Counter()
    votes = {}
    for voter in game.rng.permutation(game.alive).tolist():
        policy = MAFIA[mafia] if voter in game.mafia else TOWN[town]
        votes[voter] = policy(game, [player for player in game.alive if player != voter], ballots)
        ballots[votes[voter]] += 1

    most = max(ballots.values())
    out = game.pick(sorted(player for player in ballots if ballots[player] == most))
    game.alive.remove(out)
    for voter, target in votes.items():
        if target == out:
            game.suspicion[voter] += -1 if out in game.mafia else 1


# --- the experiments --------------------------------------------------------------------------------------


@data_source
def deal_roles(ctx: FrozenContext, *, players: int = 9, mafiosi: int = 2) -> dict[str, Any]:
    mafia = ctx.rng.choice(players, size=mafiosi, replace=False)
    return {"alive": list(range(players)), "mafia": frozenset(mafia.tolist())}


@pipeline_step()
def run_game(roles: dict[str, Any], ctx: FrozenContext, *, town: str = "guess", mafia: str = "block") -> Game:
    game = Game(ctx.rng, **roles)
    while game.winner is None:
        play_round(game, town, mafia)
    ctx.metrics.add("win", 1 if game.winner == "aligned" else 0)
    ctx.metrics.add("rounds", game.round_number)
    return game


# The path is for `run()`; under pytest the name says where it is.
RECORDED = Reference(
    "main",
    path=Path(__file__).parent / "references/main/experiment_social_deception/experiment_town_policies.json",
)


def experiment_town_policies() -> Experiment:
    """A town that watches, or that has a detective, wins more often than one that guesses.

    And none of them wins fewer games than at the commit at which references/main was recorded.
    """
    experiment = Experiment(
        name="town_policies",
        datasource=deal_roles,
        pipeline=[run_game],
        hypotheses=[
            Hypothesis(metric="win", direction="increase"),
            Hypothesis(
                metric="win",
                direction="no_decrease",
                margin=0.2,
                against=RECORDED,
                name="win_as_often_as_before",
            ),
        ],
        replicates=100,
    )
    experiment.treatments = [
        Treatment("watchful", {"town": "watch"}),
        Treatment("detective", {"town": "follow_detective"}),
    ]
    return experiment


def experiment_town_size() -> Experiment:
    """In a larger town games are longer, and guessing does better; so clearly that few games need be played.

    (`players` is read by the data source.)
    """
    return Experiment(
        name="town_size",
        datasource=deal_roles,
        pipeline=[run_game],
        treatments=[Treatment("large", {"players": 17})],
        hypotheses=[
            Hypothesis(metric="rounds", direction="increase"),
            Hypothesis(metric="win", direction="increase"),
        ],
        replicates=300,
        stopping=GroupSequential(),
    )
