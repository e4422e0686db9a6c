"""gendkit: deepfake detection by layer-norm tuning on the hypersphere.

The public names are resolved when first used, so that `import gendkit` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PUBLIC: dict[str, str] = {
    "Adapter": "gendkit.model.adapter",
    "Calibration": "gendkit.evaluate.calibration",
    "Detector": "gendkit.model.detector",
    "Ensemble": "gendkit.model.ensemble",
    "Manifest": "gendkit.data.manifest",
    "Recipe": "gendkit.train.recipe",
    "SharedBackbone": "gendkit.model.shared",
    "asset_path": "gendkit.data.assets",
    "at_level": "gendkit.measure.levels",
    "audit": "gendkit.data.audit",
    "auroc": "gendkit.measure.metrics",
    "benchmark": "gendkit.evaluate.benchmark.run",
    "benchmark_page": "gendkit.pages.benchmark",
    "build_backbone": "gendkit.model.backbone",
    "build_index": "gendkit.manifold.index",
    "calibrate": "gendkit.evaluate.calibrate",
    "check_manifest": "gendkit.measure.manifest_check",
    "class_angle": "gendkit.manifold.geometry",
    "combine": "gendkit.manifold.combine",
    "contact_sheet": "gendkit.pages.contact",
    "corrected_threshold": "gendkit.measure.thresholds",
    "dataset": "gendkit.data.datasets",
    "drift": "gendkit.manifold.drift",
    "drift_table": "gendkit.manifold.drift",
    "duplicates": "gendkit.manifold.suspects",
    "embed": "gendkit.manifold.embeddings",
    "errors": "gendkit",
    "explain": "gendkit.evaluate.explain",
    "explore": "gendkit.notebook.explorer",
    "extract": "gendkit.data.extract",
    "fit": "gendkit.train.engine",
    "geometry": "gendkit.manifold.geometry",
    "k_frames": "gendkit.data.subsets",
    "label_issues": "gendkit.manifold.suspects",
    "layer_effects": "gendkit.manifold.layers",
    "leaks": "gendkit.measure.leaks",
    "likely_method": "gendkit.manifold.methods",
    "load": "gendkit.model.detector",
    "metric_intervals": "gendkit.measure.resampled",
    "model_card": "gendkit.evaluate.card",
    "neighbours": "gendkit.manifold.neighbours",
    "novelty": "gendkit.manifold.novelty",
    "open_benchmark": "gendkit.evaluate.benchmark.run",
    "open_embeddings": "gendkit.manifold.store",
    "open_index": "gendkit.manifold.index",
    "open_study": "gendkit.evaluate.study.run",
    "pair_displacement": "gendkit.manifold.displacement",
    "paired": "gendkit.data.subsets",
    "paired_difference": "gendkit.measure.resampled",
    "place": "gendkit.manifold.projection",
    "plot": "gendkit.notebook.pictures",
    "plot_benchmark": "gendkit.notebook.benchmark",
    "plot_displacement": "gendkit.notebook.curves",
    "plot_drift": "gendkit.notebook.curves",
    "plot_explanations": "gendkit.notebook.explain",
    "plot_layers": "gendkit.notebook.curves",
    "plot_reliability": "gendkit.notebook.likelihood",
    "plot_robustness": "gendkit.notebook.robustness",
    "plot_study": "gendkit.notebook.study",
    "plot_tippett": "gendkit.notebook.likelihood",
    "plugins": "gendkit.plugin.manager",
    "project": "gendkit.manifold.projection",
    "pull": "gendkit.model.hub",
    "push": "gendkit.model.hub",
    "register": "gendkit.plugin.manager",
    "report": "gendkit.pages.clip",
    "reproduce": "gendkit.evaluate.reproduce",
    "robustness": "gendkit.evaluate.robustness",
    "robustness_table": "gendkit.evaluate.robustness",
    "sensitivity": "gendkit.evaluate.sensitivity",
    "show_faces": "gendkit.notebook.pictures",
    "show_scores": "gendkit.notebook.pictures",
    "study": "gendkit.notebook.study",
    "study_tables": "gendkit.evaluate.study.catalogue",
    "summary": "gendkit.measure.metrics",
    "summary_table": "gendkit.measure.tables",
    "threshold_transfer": "gendkit.evaluate.benchmark.transfer",
    "timeline": "gendkit.notebook.timeline",
    "training": "gendkit.notebook.training",
    "tune_layer_norms": "gendkit.model.tuning",
    "unpaired": "gendkit.data.subsets",
    "verify": "gendkit.pages.clip_verify",
    "votes": "gendkit.manifold.votes",
}

__all__ = ["__version__", *sorted(_PUBLIC)]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'gendkit' has no attribute {name!r}")
    module = _PUBLIC[name]
    if module == "gendkit":
        return importlib.import_module(f"gendkit.{name}")
    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})


if TYPE_CHECKING:
    from gendkit import errors as errors
    from gendkit.data.assets import asset_path as asset_path
    from gendkit.data.audit import audit as audit
    from gendkit.data.datasets import dataset as dataset
    from gendkit.data.extract import extract as extract
    from gendkit.data.manifest import Manifest as Manifest
    from gendkit.data.subsets import k_frames as k_frames
    from gendkit.data.subsets import paired as paired
    from gendkit.data.subsets import unpaired as unpaired
    from gendkit.evaluate.benchmark.run import benchmark as benchmark
    from gendkit.evaluate.benchmark.run import open_benchmark as open_benchmark
    from gendkit.evaluate.benchmark.transfer import threshold_transfer as threshold_transfer
    from gendkit.evaluate.calibrate import calibrate as calibrate
    from gendkit.evaluate.calibration import Calibration as Calibration
    from gendkit.evaluate.card import model_card as model_card
    from gendkit.evaluate.explain import explain as explain
    from gendkit.evaluate.reproduce import reproduce as reproduce
    from gendkit.evaluate.robustness import robustness as robustness
    from gendkit.evaluate.robustness import robustness_table as robustness_table
    from gendkit.evaluate.sensitivity import sensitivity as sensitivity
    from gendkit.evaluate.study.catalogue import study_tables as study_tables
    from gendkit.evaluate.study.run import open_study as open_study
    from gendkit.manifold.combine import combine as combine
    from gendkit.manifold.displacement import pair_displacement as pair_displacement
    from gendkit.manifold.drift import drift as drift
    from gendkit.manifold.drift import drift_table as drift_table
    from gendkit.manifold.embeddings import embed as embed
    from gendkit.manifold.geometry import class_angle as class_angle
    from gendkit.manifold.geometry import geometry as geometry
    from gendkit.manifold.index import build_index as build_index
    from gendkit.manifold.index import open_index as open_index
    from gendkit.manifold.layers import layer_effects as layer_effects
    from gendkit.manifold.methods import likely_method as likely_method
    from gendkit.manifold.neighbours import neighbours as neighbours
    from gendkit.manifold.novelty import novelty as novelty
    from gendkit.manifold.projection import place as place
    from gendkit.manifold.projection import project as project
    from gendkit.manifold.store import open_embeddings as open_embeddings
    from gendkit.manifold.suspects import duplicates as duplicates
    from gendkit.manifold.suspects import label_issues as label_issues
    from gendkit.manifold.votes import votes as votes
    from gendkit.measure.leaks import leaks as leaks
    from gendkit.measure.levels import at_level as at_level
    from gendkit.measure.manifest_check import check_manifest as check_manifest
    from gendkit.measure.metrics import auroc as auroc
    from gendkit.measure.metrics import summary as summary
    from gendkit.measure.resampled import metric_intervals as metric_intervals
    from gendkit.measure.resampled import paired_difference as paired_difference
    from gendkit.measure.tables import summary_table as summary_table
    from gendkit.measure.thresholds import corrected_threshold as corrected_threshold
    from gendkit.model.adapter import Adapter as Adapter
    from gendkit.model.backbone import build_backbone as build_backbone
    from gendkit.model.detector import Detector as Detector
    from gendkit.model.detector import load as load
    from gendkit.model.ensemble import Ensemble as Ensemble
    from gendkit.model.hub import pull as pull
    from gendkit.model.hub import push as push
    from gendkit.model.shared import SharedBackbone as SharedBackbone
    from gendkit.model.tuning import tune_layer_norms as tune_layer_norms
    from gendkit.notebook.benchmark import plot_benchmark as plot_benchmark
    from gendkit.notebook.curves import plot_displacement as plot_displacement
    from gendkit.notebook.curves import plot_drift as plot_drift
    from gendkit.notebook.curves import plot_layers as plot_layers
    from gendkit.notebook.explain import plot_explanations as plot_explanations
    from gendkit.notebook.explorer import explore as explore
    from gendkit.notebook.likelihood import plot_reliability as plot_reliability
    from gendkit.notebook.likelihood import plot_tippett as plot_tippett
    from gendkit.notebook.pictures import plot as plot
    from gendkit.notebook.pictures import show_faces as show_faces
    from gendkit.notebook.pictures import show_scores as show_scores
    from gendkit.notebook.robustness import plot_robustness as plot_robustness
    from gendkit.notebook.study import plot_study as plot_study
    from gendkit.notebook.study import study as study
    from gendkit.notebook.timeline import timeline as timeline
    from gendkit.notebook.training import training as training
    from gendkit.pages.benchmark import benchmark_page as benchmark_page
    from gendkit.pages.clip import report as report
    from gendkit.pages.clip_verify import verify as verify
    from gendkit.pages.contact import contact_sheet as contact_sheet
    from gendkit.plugin.manager import plugins as plugins
    from gendkit.plugin.manager import register as register
    from gendkit.train.engine import fit as fit
    from gendkit.train.recipe import Recipe as Recipe
