"""The python blocks of the document of the full workflow, exactly as they are written."""

# The blocks keep the imports, names and layout that they have in the document.
# ruff: noqa: I001, RUF015, RUF059
# fmt: off

import pytest


@pytest.fixture(autouse=True)
def empty_working_directory(tmp_path, monkeypatch):
    """Run in a directory of its own."""
    monkeypatch.chdir(tmp_path)


def test_003_full_workflow(capsys):
    """The machine is explored, the lead is validated, and the winner is applied."""
    # Step 1: The Machine

    from crystallize import data_source, pipeline_step
    from crystallize.context.context import FrozenContext
    from crystallize.run.pipeline import Pipeline
    from crystallize.declare.pipeline_step import exit_step
    from crystallize.experiment.experiment import Experiment
    import random

    @data_source
    def numbers(ctx: FrozenContext) -> list[int]:
        return [0, 0, 0]

    @pipeline_step()
    def add_delta(data: list[int], ctx: FrozenContext, *, delta: float = 0.0) -> list[int]:
        return [x + delta for x in data]

    @pipeline_step()
    def add_noise(data: list[int], ctx: FrozenContext) -> list[int]:
        return [x + random.random() for x in data]

    @pipeline_step()
    def record_sum(data: list[int], ctx: FrozenContext) -> list[int]:
        ctx.metrics.add("total", sum(data))
        return data

    pipeline = Pipeline([add_delta(), add_noise(), exit_step(record_sum())])
    datasource = numbers()
    exp = Experiment(datasource=datasource, pipeline=pipeline)
    exp.validate()

    # Step 2: Exploration

    from crystallize.experiment.optimize import BaseOptimizer, Objective
    from crystallize.declare.treatment import Treatment

    class GridSearchOptimizer(BaseOptimizer):
        def __init__(self, grid: dict, objective: Objective):
            super().__init__(objective)
            self.grid = grid
            self.index = 0
            self.results: list[float] = []

        def ask(self) -> list[Treatment]:
            val = self.grid["delta"][self.index]
            return [Treatment(name=f"trial_{val}", apply={"delta": val})]

        def tell(self, values: dict[str, float]) -> None:
            self.results.append(list(values.values())[0])
            self.index += 1

        def get_best_treatment(self) -> Treatment:
            best_value = min(self.results)
            best_index = self.results.index(best_value)
            delta = self.grid["delta"][best_index]
            return Treatment(name="best_delta", apply={"delta": delta})

    optimizer = GridSearchOptimizer({"delta": [-1, 0, 1]}, Objective("total", "minimize"))
    best_treatment = exp.optimize(optimizer, num_trials=3, replicates_per_trial=5)

    # Step 3: Validation

    from crystallize import hypothesis, verifier
    from scipy.stats import ttest_ind

    @verifier
    def welch_t_test(baseline, treatment, alpha: float = 0.05):
        stat, p = ttest_ind(treatment["total"], baseline["total"], equal_var=False)
        return {"p_value": p, "significant": p < alpha}

    @hypothesis(verifier=welch_t_test(), metrics="total")
    def rank_by_p_value(result):
        return result.get("p_value", 1.0)

    result = exp.run(treatments=[best_treatment], hypotheses=[rank_by_p_value], replicates=30)
    print(result.get_hypothesis("rank_by_p_value").results)

    # Step 4: Deployment

    output = exp.apply(treatment=best_treatment)

    # What the document promises
    assert best_treatment.name == "best_delta"
    assert best_treatment.payload == {"delta": -1}
    assert len(optimizer.results) == 3
    verdict = result.get_hypothesis("rank_by_p_value").results["best_delta"]
    assert verdict["significant"] is True
    assert "'best_delta'" in capsys.readouterr().out
    assert len(output) == 3
    assert all(-1 <= x < 0 for x in output)
    # The lead was found on other replicates than it is validated on.
    assert exp.apply(treatment=best_treatment) == output
    assert sum(output) == result.metrics.treatments["best_delta"]["total"][0]
    assert sum(output) not in optimizer.results
