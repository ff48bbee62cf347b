"""Units of work on a Dask cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

from crystallize.context.record import RunRecord
from crystallize.errors import DefinitionError
from crystallize.run.execute import RunPlan
from crystallize.run.plugins import Execution
from crystallize.run.plugins.execution import progress
from crystallize.run.units import Unit


class DaskExecution(Execution):
    """Execution on the workers of a Dask cluster; metrics are those of `SerialExecution`, bit for bit.

    The experiment, with the constants of its data source, is sent once to each worker. Its code reaches
    workers as any code does under Dask: it is installed there, or ``client.upload_file`` sends it, or it
    stands in the script itself. A worker refuses to run units if a function, class, variable, declared file
    or declared variable of the environment that they use is not what it is here (compared by fingerprint),
    or if Python, numpy, scipy or a package that it has loaded are of another version. On another
    processor, build or number of threads of numeric libraries, results may differ in their last bits: such
    runs are not stored, and a warning says so.

    Units are handed over in blocks of about a quarter of a second, two to a worker. Those of a worker that is
    lost are run again, each by itself; a unit with which a second worker is lost has failed. With early
    stopping the units behind a look are run ahead, and cancelled once every claim is decided; they count in
    no result. Artifacts come back, and are written by this process.

    A worker runs one unit at a time, however many threads it has, since threads share the global generators:
    start workers with ``--nthreads 1``. Only with ``SeedPlugin(auto_seed=False)`` all threads are used.

    Parameters
    ----------
    cluster : str or distributed.Client
        Address of a scheduler, as ``"tcp://10.0.0.1:8786"``, or a client of yours, which stays open.
    timeout : float
        Seconds to wait for the scheduler, and for a worker while there is none.

    Raises
    ------
    DefinitionError
        If an argument is none of these.

    Examples
    --------
    >>> from crystallize import Experiment, pipeline_step
    >>> @pipeline_step()
    ... def draw(data, ctx):
    ...     return data, {"x": ctx.rng.normal()}
    >>> cluster = DaskExecution("tcp://10.0.0.1:8786")
    >>> Experiment(0, [draw], [cluster], replicates=1_000).run()  # doctest: +SKIP
    """

    runs_ahead = True
    is_elsewhere = True

    def __init__(self, cluster: Any, timeout: float = 30.0) -> None:
        if not isinstance(cluster, str) and not hasattr(cluster, "submit"):
            raise DefinitionError(
                f"cluster is {cluster!r}; give the address of a scheduler, as 'tcp://10.0.0.1:8786', or a "
                "distributed.Client"
            )
        if getattr(cluster, "asynchronous", False):
            raise DefinitionError("cluster is an asynchronous client; give one made with asynchronous=False")
        if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout > 0:
            raise DefinitionError(f"timeout is {timeout!r}; give a positive number of seconds")
        self.cluster = cluster
        self.timeout = float(timeout)

    def execute(self, plan: RunPlan, units: Sequence[Unit]) -> Iterator[RunRecord]:
        """Yield the records in the order in which blocks of units are done.

        Raises
        ------
        EngineError
            If there is no scheduler or no worker, or they are lost.
        OtherCodeError
            If a worker has other code or versions.
        MissingExtraError
            If Dask is not installed.
        NotPicklableError
            If a part of the experiment can't be sent.
        """
        # Heavy: what it loads identifies code.
        from crystallize.engines.on_dask import records_on_dask

        with (
            self._client() as client,
            closing(records_on_dask(client, plan, units, timeout=self.timeout)) as records,
        ):
            yield from progress(records, len(units), plan.name)

    @contextmanager
    def _client(self) -> Iterator[Any]:
        if not isinstance(self.cluster, str):
            yield self.cluster
            return
        from crystallize.engines.on_dask import connected, leave  # as above

        client = connected(self.cluster, self.timeout)
        try:
            yield client
        finally:
            leave(client)
