"""Which rasters are made of a scene's scores."""

from __future__ import annotations

from geoseg.engine.confidence import ConfidenceProduct
from geoseg.engine.ensemble import Ensemble
from geoseg.engine.options import PredictOptions
from geoseg.engine.products import ClassProduct, ProbabilityProduct, Product
from geoseg.engine.scene_job import SceneJob
from geoseg.engine.uncertainty import UncertaintyProduct


def products_of(job: SceneJob, ensemble: Ensemble, options: PredictOptions) -> list[Product]:
    """One product for each raster that is written, in the order of `Targets.written`.

    Args:
        job: The scene and its outputs.
        ensemble: The bundles.
        options: How scenes are predicted.
    """
    legend = ensemble.legend
    excluded = [legend.classes.index(legend.class_of(name)) for name in options.exclude]
    products: list[Product] = [ClassProduct(legend, excluded)]
    if job.targets.probabilities is not None:
        products.append(ProbabilityProduct(legend, options.prob_dtype))
    if job.targets.uncertainty is not None:
        products.append(
            UncertaintyProduct(options.measures, legend.count, exclusive=ensemble.is_exclusive)
        )
    if job.targets.polygons is not None:
        products.append(ConfidenceProduct(legend.count, excluded, margin=options.margin))
    return products
