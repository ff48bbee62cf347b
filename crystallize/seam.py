"""The seam of the library: all that a runner of experiments needs of it, beside what is public.

The pytest plugin reaches the library by this list and the public names alone. Each name is loaded from its
module when it is first asked for, so that who needs one loads no other.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crystallize.analysis.analysis import Analysis as Analysis
    from crystallize.analysis.blocks import blocks_of as blocks_of
    from crystallize.analysis.calibration import BLIND_SPOT as BLIND_SPOT
    from crystallize.analysis.calibration import Calibration as Calibration
    from crystallize.analysis.calibration import calibrate as calibrate
    from crystallize.analysis.claim_plan import plan_lines as plan_lines
    from crystallize.analysis.claim_test import suited as suited
    from crystallize.analysis.condition_samples import claim_sample as claim_sample
    from crystallize.analysis.condition_samples import is_of_units as is_of_units
    from crystallize.analysis.digest import digest as digest
    from crystallize.analysis.family import AnalysisPlan as AnalysisPlan
    from crystallize.analysis.history import add_recording as add_recording
    from crystallize.analysis.interim import Interim as Interim
    from crystallize.analysis.planning import FEWEST as FEWEST
    from crystallize.analysis.planning import Planner as Planner
    from crystallize.analysis.ranking import ranked as ranked
    from crystallize.analysis.ranking import score as score
    from crystallize.analysis.recordable import Claimed as Claimed
    from crystallize.analysis.recordable import claimed_metrics as claimed_metrics
    from crystallize.analysis.recordable import make_recording as make_recording
    from crystallize.analysis.recordable import unrecordable as unrecordable
    from crystallize.analysis.reference_file import load_reference as load_reference
    from crystallize.analysis.reference_file import write_reference as write_reference
    from crystallize.analysis.references import References as References
    from crystallize.analysis.references import find_references as find_references
    from crystallize.analysis.revision_runs import RevisionRuns as RevisionRuns
    from crystallize.analysis.stored_reference import REFERENCE as REFERENCE
    from crystallize.analysis.stored_reference import Origin as Origin
    from crystallize.analysis.stored_reference import Recording as Recording
    from crystallize.analysis.stored_reference import StoredReference as StoredReference
    from crystallize.analysis.unchanged import unrepeated as unrepeated
    from crystallize.analysis.unread import TreatmentKeys as TreatmentKeys
    from crystallize.analysis.unread import unread_text as unread_text
    from crystallize.analysis.verdict import GOOD as GOOD
    from crystallize.analysis.verdict import PASSING as PASSING
    from crystallize.boundary import check_failure as check_failure
    from crystallize.boundary import ends_everything as ends_everything
    from crystallize.boundary import failure as failure
    from crystallize.boundary import shown as shown
    from crystallize.boundary import text_of as text_of
    from crystallize.boundary import with_frames as with_frames
    from crystallize.calls.counts import METER as METER
    from crystallize.calls.counts import Counts as Counts
    from crystallize.calls.counts import calls_made as calls_made
    from crystallize.calls.counts import counts_of_lines as counts_of_lines
    from crystallize.calls.counts import hear_counts as hear_counts
    from crystallize.calls.keeping import Keeping as Keeping
    from crystallize.calls.keeping import keep_replies as keep_replies
    from crystallize.calls.keeping import replies_kept as replies_kept
    from crystallize.calls.replies import prune_replies as prune_replies
    from crystallize.claims.claim import Claim as Claim
    from crystallize.claims.hypothesis import Sample as Sample
    from crystallize.claims.hypothesis import metrics_of_claims as metrics_of_claims
    from crystallize.claims.policy import DEFAULT_JUDGING as DEFAULT_JUDGING
    from crystallize.claims.policy import Judging as Judging
    from crystallize.claims.tests_of_units import ClusteredTTest as ClusteredTTest
    from crystallize.context.context import FrozenContext as FrozenContext
    from crystallize.context.context import journal_of as journal_of
    from crystallize.context.current import outside_runs as outside_runs
    from crystallize.context.journal import Journal as Journal
    from crystallize.context.record import NOT_BEGUN as NOT_BEGUN
    from crystallize.context.record import RunError as RunError
    from crystallize.context.record import RunRecord as RunRecord
    from crystallize.context.record_table import Records as Records
    from crystallize.context.record_table import RecordTable as RecordTable
    from crystallize.context.recording import is_finite as is_finite
    from crystallize.context.rows import Rows as Rows
    from crystallize.context.rows import records_from_json as records_from_json
    from crystallize.context.rows import records_to_json as records_to_json
    from crystallize.context.seeding import CALIBRATION as CALIBRATION
    from crystallize.context.seeding import PLANNING as PLANNING
    from crystallize.context.seeding import TREATMENT as TREATMENT
    from crystallize.context.seeding import GlobalState as GlobalState
    from crystallize.context.seeding import SeedStream as SeedStream
    from crystallize.context.seeding import check_root_seed as check_root_seed
    from crystallize.context.seeding import global_state_restored as global_state_restored
    from crystallize.context.seeding import seed_globals as seed_globals
    from crystallize.declare.artifact import Inputs as Inputs
    from crystallize.declare.artifact import UpstreamUnit as UpstreamUnit
    from crystallize.declare.awaiting import Ending as Ending
    from crystallize.declare.awaiting import SharedTime as SharedTime
    from crystallize.declare.awaiting import given as given
    from crystallize.declare.awaiting import is_async as is_async
    from crystallize.declare.awaiting import on_loop_of_its_own as on_loop_of_its_own
    from crystallize.declare.awaiting import refuse_inside_a_loop as refuse_inside_a_loop
    from crystallize.declare.budget import check_budget as check_budget
    from crystallize.declare.case_design import CaseDesign as CaseDesign
    from crystallize.declare.case_design import CaseStream as CaseStream
    from crystallize.declare.case_design import check_case_key as check_case_key
    from crystallize.declare.dependencies import Caching as Caching
    from crystallize.declare.functions import Parameters as Parameters
    from crystallize.declare.treatment import BASELINE as BASELINE
    from crystallize.engines.expectation import Expectation as Expectation
    from crystallize.engines.on_dask import DaskRun as DaskRun
    from crystallize.engines.on_dask import connected as connected
    from crystallize.engines.on_dask import leave as leave
    from crystallize.engines.payload import BlockResult as BlockResult
    from crystallize.engines.payload import Payload as Payload
    from crystallize.engines.payload import RemoteWork as RemoteWork
    from crystallize.engines.payload import told_once as told_once
    from crystallize.experiment.checks import as_treatments as as_treatments
    from crystallize.experiment.checks import check_decidable as check_decidable
    from crystallize.experiment.checks import check_replicates as check_replicates
    from crystallize.experiment.checks import entries_of as entries_of
    from crystallize.experiment.checks import quoted as quoted
    from crystallize.experiment.checks import read_once as read_once
    from crystallize.experiment.checks import with_defaults as with_defaults
    from crystallize.experiment.declaration import DEFAULT_NAME as DEFAULT_NAME
    from crystallize.experiment.graph_run import GraphRun as GraphRun
    from crystallize.experiment.result_file import RESULT as RESULT
    from crystallize.experiment.result_metrics import ConditionMetrics as ConditionMetrics
    from crystallize.identity.audit import listen as listen
    from crystallize.identity.audit import unheard as unheard
    from crystallize.identity.class_of_test import ClassOfTest as ClassOfTest
    from crystallize.identity.environment import Environment as Environment
    from crystallize.identity.environment import environment as environment
    from crystallize.identity.environment import environment_changes as environment_changes
    from crystallize.identity.fingerprint import changes as changes
    from crystallize.identity.fingerprint import fingerprint as fingerprint
    from crystallize.identity.inputs import declared_inputs as declared_inputs
    from crystallize.identity.made_values import MadeValue as MadeValue
    from crystallize.identity.made_values import is_plain_data as is_plain_data
    from crystallize.identity.opened_files import OPENED as OPENED
    from crystallize.identity.origin import is_project_file as is_project_file
    from crystallize.identity.origin import is_project_module as is_project_module
    from crystallize.identity.provenance import commit_and_changes as commit_and_changes
    from crystallize.identity.provenance import git_commit as git_commit
    from crystallize.identity.provenance import git_tags as git_tags
    from crystallize.identity.provenance import machine as machine
    from crystallize.identity.provenance import versions as versions
    from crystallize.identity.purity import is_incidental as is_incidental
    from crystallize.identity.set_up import set_up_by as set_up_by
    from crystallize.identity.set_up import words_called as words_called
    from crystallize.report.case_changes import change_lines as change_lines
    from crystallize.report.case_changes import slice_lines as slice_lines
    from crystallize.report.case_names import CaseNames as CaseNames
    from crystallize.report.case_names import announced_cases as announced_cases
    from crystallize.report.failures import PROPERTY as PROPERTY
    from crystallize.report.failures import Failure as Failure
    from crystallize.report.failures import failures_of as failures_of
    from crystallize.report.html import html_report as html_report
    from crystallize.report.json import json_line as json_line
    from crystallize.report.json import json_report as json_report
    from crystallize.report.json import verdict_fields as verdict_fields
    from crystallize.report.markdown import markdown_report as markdown_report
    from crystallize.report.model import REPORT as REPORT
    from crystallize.report.model import ExperimentResults as ExperimentResults
    from crystallize.report.model import Outcome as Outcome
    from crystallize.report.model import SessionResults as SessionResults
    from crystallize.report.model import Used as Used
    from crystallize.report.run_facts import cached_runs as cached_runs
    from crystallize.report.run_facts import facts_of as facts_of
    from crystallize.report.run_facts import seconds_of as seconds_of
    from crystallize.report.unit_results import OfCondition as OfCondition
    from crystallize.report.unit_results import UnitResults as UnitResults
    from crystallize.report.unit_results import unit_results as unit_results
    from crystallize.report.wording import CORRECTIONS as CORRECTIONS
    from crystallize.report.wording import duration as duration
    from crystallize.report.wording import effect_of as effect_of
    from crystallize.report.wording import extra_numbers as extra_numbers
    from crystallize.report.wording import failed_anyway as failed_anyway
    from crystallize.report.wording import fails_anyway as fails_anyway
    from crystallize.report.wording import group_line as group_line
    from crystallize.report.wording import interval_of as interval_of
    from crystallize.report.wording import mark_of as mark_of
    from crystallize.report.wording import mde_of as mde_of
    from crystallize.report.wording import p_of as p_of
    from crystallize.report.wording import rate_interval as rate_interval
    from crystallize.report.wording import sides_of as sides_of
    from crystallize.run.awaiting_unit import execute_awaiting as execute_awaiting
    from crystallize.run.execute import RAISED as RAISED
    from crystallize.run.execute import Outcomes as Outcomes
    from crystallize.run.execute import RunPlan as RunPlan
    from crystallize.run.execute import execute as execute
    from crystallize.run.impurities import Impurities as Impurities
    from crystallize.run.pipeline import Hooks as Hooks
    from crystallize.run.plan_subject import subject_of as subject_of
    from crystallize.run.plugins import Execution as Execution
    from crystallize.run.plugins.artifacts import write_artifacts as write_artifacts
    from crystallize.run.repeatability import Earlier as Earlier
    from crystallize.run.repeatability import Repeatability as Repeatability
    from crystallize.run.run_key import Subject as Subject
    from crystallize.run.step_cache import StepCache as StepCache
    from crystallize.run.step_cache import open_step_cache as open_step_cache
    from crystallize.run.stored_runs import StoredRuns as StoredRuns
    from crystallize.run.units import Unit as Unit
    from crystallize.run.units import rotated as rotated
    from crystallize.run.units import unit_of as unit_of
    from crystallize.run.verification import VERIFIED as VERIFIED
    from crystallize.run.verification import compared_with_stored as compared_with_stored
    from crystallize.run.verification import ignores_stored as ignores_stored
    from crystallize.run.watched_plan import WatchedPlan as WatchedPlan
    from crystallize.run.watched_runs import ARTIFACTS as ARTIFACTS
    from crystallize.run.watched_runs import Judge as Judge
    from crystallize.run.watched_runs import WatchedRuns as WatchedRuns
    from crystallize.stats.special import load_scipy as load_scipy
    from crystallize.storage.atomic import remove_output as remove_output
    from crystallize.storage.atomic import write_output as write_output
    from crystallize.storage.atomic import write_whole as write_whole
    from crystallize.storage.locks import Locks as Locks
    from crystallize.storage.names import file_key as file_key
    from crystallize.storage.names import is_encodable as is_encodable
    from crystallize.storage.names import path_component as path_component
    from crystallize.storage.names import unsafe_file_name as unsafe_file_name
    from crystallize.storage.place import open_store as open_store
    from crystallize.storage.regular import read_regular as read_regular
    from crystallize.storage.run_directory import begin_version as begin_version
    from crystallize.storage.run_directory import conclude_version as conclude_version
    from crystallize.storage.run_directory import discard_ahead as discard_ahead
    from crystallize.storage.run_directory import prune_versions as prune_versions
    from crystallize.storage.system import BINARY as BINARY
    from crystallize.storage.system import FORKS as FORKS
    from crystallize.storage.system import at_fork as at_fork
    from crystallize.storage.versioned import FileFormat as FileFormat
    from crystallize.storage.versioned import telling as telling
    from crystallize.text.escaping import LEGACY_COMMAND as LEGACY_COMMAND
    from crystallize.text.escaping import disarmed as disarmed
    from crystallize.text.escaping import escaped as escaped
    from crystallize.text.escaping import printable as printable
    from crystallize.text.escaping import printable_lines as printable_lines
    from crystallize.text.formatting import compared as compared
    from crystallize.text.formatting import counted as counted
    from crystallize.text.formatting import first_of as first_of
    from crystallize.text.formatting import level_of as level_of
    from crystallize.text.formatting import name_of_p as name_of_p
    from crystallize.text.formatting import number as number
    from crystallize.text.formatting import p_value as p_value
    from crystallize.text.formatting import short_commit as short_commit
    from crystallize.text.keywords import unknown_keyword as unknown_keyword
    from crystallize.text.strict_json import from_strict_json as from_strict_json

_NAMES: dict[str, tuple[str, ...]] = {
    "analysis.analysis": ("Analysis",),
    "analysis.blocks": ("blocks_of",),
    "analysis.calibration": ("BLIND_SPOT", "Calibration", "calibrate"),
    "analysis.claim_plan": ("plan_lines",),
    "analysis.claim_test": ("suited",),
    "analysis.condition_samples": ("claim_sample", "is_of_units"),
    "analysis.digest": ("digest",),
    "analysis.family": ("AnalysisPlan",),
    "analysis.history": ("add_recording",),
    "analysis.interim": ("Interim",),
    "analysis.planning": ("FEWEST", "Planner"),
    "analysis.ranking": ("ranked", "score"),
    "analysis.recordable": ("Claimed", "claimed_metrics", "make_recording", "unrecordable"),
    "analysis.reference_file": ("load_reference", "write_reference"),
    "analysis.references": ("References", "find_references"),
    "analysis.revision_runs": ("RevisionRuns",),
    "analysis.stored_reference": ("Origin", "REFERENCE", "Recording", "StoredReference"),
    "analysis.unchanged": ("unrepeated",),
    "analysis.unread": ("TreatmentKeys", "unread_text"),
    "analysis.verdict": ("GOOD", "PASSING"),
    "boundary": ("check_failure", "ends_everything", "failure", "shown", "text_of", "with_frames"),
    "calls.counts": ("Counts", "METER", "calls_made", "counts_of_lines", "hear_counts"),
    "calls.keeping": ("Keeping", "keep_replies", "replies_kept"),
    "calls.replies": ("prune_replies",),
    "claims.claim": ("Claim",),
    "claims.hypothesis": ("Sample", "metrics_of_claims"),
    "claims.policy": ("DEFAULT_JUDGING", "Judging"),
    "claims.tests_of_units": ("ClusteredTTest",),
    "context.context": ("FrozenContext", "journal_of"),
    "context.current": ("outside_runs",),
    "context.journal": ("Journal",),
    "context.record": ("NOT_BEGUN", "RunError", "RunRecord"),
    "context.record_table": ("RecordTable", "Records"),
    "context.recording": ("is_finite",),
    "context.rows": ("Rows", "records_from_json", "records_to_json"),
    "context.seeding": (
        "CALIBRATION",
        "GlobalState",
        "PLANNING",
        "SeedStream",
        "TREATMENT",
        "check_root_seed",
        "global_state_restored",
        "seed_globals",
    ),
    "declare.artifact": ("Inputs", "UpstreamUnit"),
    "declare.awaiting": (
        "Ending",
        "SharedTime",
        "given",
        "is_async",
        "on_loop_of_its_own",
        "refuse_inside_a_loop",
    ),
    "declare.budget": ("check_budget",),
    "declare.case_design": ("CaseDesign", "CaseStream", "check_case_key"),
    "declare.dependencies": ("Caching",),
    "declare.functions": ("Parameters",),
    "declare.treatment": ("BASELINE",),
    "engines.expectation": ("Expectation",),
    "engines.on_dask": ("DaskRun", "connected", "leave"),
    "engines.payload": ("BlockResult", "Payload", "RemoteWork", "told_once"),
    "experiment.checks": (
        "as_treatments",
        "check_decidable",
        "check_replicates",
        "entries_of",
        "quoted",
        "read_once",
        "with_defaults",
    ),
    "experiment.declaration": ("DEFAULT_NAME",),
    "experiment.graph_run": ("GraphRun",),
    "experiment.result_file": ("RESULT",),
    "experiment.result_metrics": ("ConditionMetrics",),
    "identity.audit": ("listen", "unheard"),
    "identity.class_of_test": ("ClassOfTest",),
    "identity.environment": ("Environment", "environment", "environment_changes"),
    "identity.fingerprint": ("changes", "fingerprint"),
    "identity.inputs": ("declared_inputs",),
    "identity.made_values": ("MadeValue", "is_plain_data"),
    "identity.opened_files": ("OPENED",),
    "identity.origin": ("is_project_file", "is_project_module"),
    "identity.provenance": ("commit_and_changes", "git_commit", "git_tags", "machine", "versions"),
    "identity.purity": ("is_incidental",),
    "identity.set_up": ("set_up_by", "words_called"),
    "report.case_changes": ("change_lines", "slice_lines"),
    "report.case_names": ("CaseNames", "announced_cases"),
    "report.failures": ("Failure", "PROPERTY", "failures_of"),
    "report.html": ("html_report",),
    "report.json": ("json_line", "json_report", "verdict_fields"),
    "report.markdown": ("markdown_report",),
    "report.model": ("ExperimentResults", "Outcome", "REPORT", "SessionResults", "Used"),
    "report.run_facts": ("cached_runs", "facts_of", "seconds_of"),
    "report.unit_results": ("OfCondition", "UnitResults", "unit_results"),
    "report.wording": (
        "CORRECTIONS",
        "duration",
        "effect_of",
        "extra_numbers",
        "failed_anyway",
        "fails_anyway",
        "group_line",
        "interval_of",
        "mark_of",
        "mde_of",
        "p_of",
        "rate_interval",
        "sides_of",
    ),
    "run.awaiting_unit": ("execute_awaiting",),
    "run.execute": ("Outcomes", "RAISED", "RunPlan", "execute"),
    "run.impurities": ("Impurities",),
    "run.pipeline": ("Hooks",),
    "run.plan_subject": ("subject_of",),
    "run.plugins": ("Execution",),
    "run.plugins.artifacts": ("write_artifacts",),
    "run.repeatability": ("Earlier", "Repeatability"),
    "run.run_key": ("Subject",),
    "run.step_cache": ("StepCache", "open_step_cache"),
    "run.stored_runs": ("StoredRuns",),
    "run.units": ("Unit", "rotated", "unit_of"),
    "run.verification": ("VERIFIED", "compared_with_stored", "ignores_stored"),
    "run.watched_plan": ("WatchedPlan",),
    "run.watched_runs": ("ARTIFACTS", "Judge", "WatchedRuns"),
    "stats.special": ("load_scipy",),
    "storage.atomic": ("remove_output", "write_output", "write_whole"),
    "storage.locks": ("Locks",),
    "storage.names": ("file_key", "is_encodable", "path_component", "unsafe_file_name"),
    "storage.place": ("open_store",),
    "storage.regular": ("read_regular",),
    "storage.run_directory": ("begin_version", "conclude_version", "discard_ahead", "prune_versions"),
    "storage.system": ("BINARY", "FORKS", "at_fork"),
    "storage.versioned": ("FileFormat", "telling"),
    "text.escaping": ("LEGACY_COMMAND", "disarmed", "escaped", "printable", "printable_lines"),
    "text.formatting": (
        "compared",
        "counted",
        "first_of",
        "level_of",
        "name_of_p",
        "number",
        "p_value",
        "short_commit",
    ),
    "text.keywords": ("unknown_keyword",),
    "text.strict_json": ("from_strict_json",),
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names}

__all__ = sorted(_HOMES)


if not TYPE_CHECKING:  # else type checkers would take every name for one that is there

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module 'crystallize.seam' has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f"crystallize.{_HOMES[name]}"), name)
        return value
